package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Watcher reads files again and again, and makes configurations that use what it has
// read. All methods may be called at the same time.
type Watcher struct {
	opts        options
	identity    *source[tls.Certificate] // nil without Files.Certificate
	authorities *source[x509.CertPool]   // nil without Files.Authorities

	stop context.CancelFunc
	done sync.WaitGroup
}

// Watch reads the files, and goes on to do so until Close. It returns an error if
// they cannot be used. Without Certificate a Watcher is for clients that show none.
func Watch(files Files, opts ...Option) (*Watcher, error) {
	if err := files.check(); err != nil {
		return nil, err
	}
	w := &Watcher{opts: defaults()}
	for _, o := range opts {
		o.apply(&w.opts)
	}
	if files.Certificate != "" {
		w.identity = &source[tls.Certificate]{what: "certificate", files: []string{files.Certificate, files.Key}, parse: parseIdentity}
		if _, err := w.identity.refresh(); err != nil {
			return nil, fmt.Errorf("pushtunnel: certs: %w", err)
		}
	}
	if files.Authorities != "" {
		w.authorities = &source[x509.CertPool]{what: "authorities", files: []string{files.Authorities}, parse: parseAuthorities}
		if _, err := w.authorities.refresh(); err != nil {
			return nil, fmt.Errorf("pushtunnel: certs: %w", err)
		}
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	w.done.Go(func() { w.run(ctx) })
	return w, nil
}

// Close ends the reading of files. Configurations go on with what was read last, so
// it does not matter when a Watcher is closed. Close may be called more than once.
func (w *Watcher) Close() {
	w.stop()
	w.done.Wait()
}

// run reads the files until ctx ends.
func (w *Watcher) run(ctx context.Context) {
	tick := time.NewTicker(w.opts.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if w.identity != nil {
			news, err := w.identity.refresh()
			expires := slog.Time("expires", w.identity.Load().Leaf.NotAfter)
			w.tell(ctx, w.identity.what, news, err, expires)
		}
		if w.authorities != nil {
			news, err := w.authorities.refresh()
			w.tell(ctx, w.authorities.what, news, err)
		}
	}
}

// tell logs what has come of reading.
func (w *Watcher) tell(ctx context.Context, what string, news bool, err error, attrs ...slog.Attr) {
	attrs = append(attrs, slog.String("files", what))
	switch {
	case !news:
	case err != nil:
		w.opts.logger.LogAttrs(ctx, slog.LevelWarn, "certificate files cannot be used, what was read before stays",
			append(attrs, slog.String("reason", err.Error()))...)
	default:
		w.opts.logger.LogAttrs(ctx, slog.LevelInfo, "certificate files were read again", attrs...)
	}
}
