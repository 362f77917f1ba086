package certs

import (
	"log/slog"
	"time"
)

// Option sets up a Watcher.
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

type options struct {
	interval time.Duration
	logger   *slog.Logger
}

const defaultInterval = 10 * time.Second

func defaults() options {
	return options{interval: defaultInterval, logger: slog.New(slog.DiscardHandler)}
}

// WithInterval sets how often the files are read. The default is 10 s, as it is for
// 0 or less.
func WithInterval(d time.Duration) Option {
	return optionFunc(func(o *options) {
		if o.interval = d; d <= 0 {
			o.interval = defaultInterval
		}
	})
}

// WithLogger sets where changes are logged: INFO when files were read that have
// changed, WARN when they cannot be used. The default is nowhere.
func WithLogger(l *slog.Logger) Option { return optionFunc(func(o *options) { o.logger = l }) }

// ServerOption sets up a server's configuration.
type ServerOption interface{ applyServer(*serverOptions) }

type serverOptionFunc func(*serverOptions)

func (f serverOptionFunc) applyServer(o *serverOptions) { f(o) }

type serverOptions struct{ optional bool }

// WithOptionalClientCertificates lets clients in that show no certificate. If one
// does it must be valid. What those may do that have none is for the server to
// decide. The default is that clients need a certificate if Files has Authorities;
// without Authorities they are not asked for one.
func WithOptionalClientCertificates() ServerOption {
	return serverOptionFunc(func(o *serverOptions) { o.optional = true })
}
