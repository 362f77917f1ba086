package client

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/internal/logattr"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// errMoving is why the next session is opened when the server has asked for it, or the
// connection is about to end. Nobody outside sees it.
var errMoving = errors.New("moving")

// run is one Serve. Its goroutine opens the sessions, one after the other, and
// waits for their ends; sessions that it parts from have a goroutine each.
type run struct {
	c       *Client
	ctx     context.Context //nolint:containedctx // Serve's
	cancel  context.CancelFunc
	workers *tunnel.Workers // to be closed at the end; nil if they are the user's
	retry   retry
	last    *session // the session before this one, if any
	parting sync.WaitGroup
}

// session is a session with what the client has to know of it.
type session struct {
	tunnel.Link
	moves  chan tunnel.GoAway // the server asks the client to move
	watch  *watch             // of its connection; nil if there is none
	move   *time.Timer        // when to move; nil if there is no need
	moving bool               // the client does
	aged   bool               // only the connection is about to end: the server takes calls to it
	began  time.Time
}

// due is when to move.
func (s *session) due() <-chan time.Time {
	if s.move == nil {
		return nil
	}
	return s.move.C
}

// unwatch ends the watch of the connection.
func (s *session) unwatch() {
	if s.watch != nil {
		s.watch.stop()
		s.watch = nil
	}
}

// aging is when the connection is known to be about to end.
func (s *session) aging() <-chan struct{} {
	if s.watch == nil {
		return nil
	}
	return s.watch.left
}

func newRun(ctx context.Context, c *Client) *run {
	r := &run{c: c, retry: retry{config: c.opts.backoff}}
	r.ctx, r.cancel = context.WithCancel(ctx)
	if c.opts.tunnel.Workers == nil {
		r.workers = tunnel.NewWorkers()
	}
	return r
}

// end ends all that the run has begun.
func (r *run) end() {
	r.cancel()
	r.parting.Wait()
	if r.workers != nil {
		r.workers.Close()
	}
}

// serve keeps a session open.
func (r *run) serve() error {
	for {
		s, err := r.connect()
		if old := r.last; old != nil && old.moving {
			if err != nil && r.keeps(old, err) {
				s, err = old, nil
			} else {
				// The next session is there, or can't be had: make before break.
				r.part(old)
			}
		}
		if err == nil {
			err = r.use(s)
			r.steady(s)
			r.last = s
		}
		switch {
		case r.ctx.Err() != nil:
			return r.ctx.Err()
		case r.c.leaving.Err() != nil:
			// Shutdown may end the wait for those that part, too.
			defer context.AfterFunc(r.c.patience, r.cancel)()
			r.parting.Wait()
			return nil
		case err == errMoving:
			continue
		case Permanent(err):
			return err
		}
		r.pause(err)
	}
}

// keeps reports whether the client stays with the session that it wanted to leave,
// because there is no other, and tries again later.
func (r *run) keeps(old *session, err error) bool {
	if !old.aged || isDone(old.Done()) || Permanent(err) || r.ctx.Err() != nil || r.c.leaving.Err() != nil {
		return false
	}
	old.moving = false
	old.move = time.NewTimer(r.delay(err))
	return true
}

// delay returns how long to wait before the next session is opened, and tells.
func (r *run) delay(err error) time.Duration {
	after := r.retry.next(err)
	r.c.opts.logger.LogAttrs(r.ctx, slog.LevelWarn, "client waits to connect again",
		append(append(logattr.Client(r.peer()), logattr.Reason(err)...), slog.Duration("after", after))...)
	for _, h := range r.c.opts.hooks {
		if h.Retry != nil {
			h.Retry(err, after)
		}
	}
	return after
}

// pause waits before the next session is opened.
func (r *run) pause(err error) {
	t := time.NewTimer(r.delay(err))
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.ctx.Done():
	case <-r.c.leaving.Done():
	}
}

// connect opens a session and tells the hooks.
func (r *run) connect() (*session, error) {
	if err := r.c.leaving.Err(); err != nil {
		return nil, err // Shutdown came while it waited, or before Serve
	}
	s := &session{moves: make(chan tunnel.GoAway, 1)}
	cfg := r.c.opts.tunnel
	cfg.Remote = r.peer()
	if cfg.Workers == nil {
		cfg.Workers = r.workers
	}
	cfg.OnGoAway = func(g tunnel.GoAway) {
		select {
		case s.moves <- g:
		default:
		}
	}
	if r.last != nil {
		cfg.FailFast = r.last.moving
		cfg.PreviousSession = r.last.Peer().Session
		cfg.PreviousLost = isDone(r.last.Done())
	}
	var err error
	if s.Link, err = r.dial(cfg); err != nil {
		return nil, err
	}
	if l, ok := s.Link.(*streamLink); ok {
		s.watch = l.watch
	}
	s.began = time.Now()
	r.c.opts.logger.LogAttrs(r.ctx, slog.LevelInfo, "client connected", logattr.Client(s.Peer())...)
	for _, h := range r.c.opts.hooks {
		if h.Connected != nil {
			h.Connected(s.Peer())
		}
	}
	return s, nil
}

// openingTime is how long a session may take to open when Shutdown has been called.
const openingTime = 100 * time.Millisecond

// dial opens a session, within the connect timeout.
func (r *run) dial(cfg tunnel.Config) (tunnel.Link, error) {
	// A gRPC stream lives in this context. What ends Serve ends it only until it
	// is open: after that it ends in order. Shutdown leaves a moment for that: the
	// server may be calling already.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	var settled atomic.Bool // it is open, or given up
	giveUp := func() {
		if !settled.Swap(true) {
			cancel()
		}
	}
	defer context.AfterFunc(r.ctx, giveUp)()
	defer context.AfterFunc(r.c.patience, giveUp)()
	defer context.AfterFunc(r.c.leaving, func() { time.AfterFunc(openingTime, giveUp) })()
	timer := time.AfterFunc(r.c.opts.connectTimeout, giveUp)
	defer timer.Stop()
	s, err := r.c.dialer.Dial(ctx, cfg)
	settled.Store(true)
	if err != nil {
		if ctx.Err() != nil {
			err = status.Errorf(codes.Unavailable, "pushtunnel: no session within %v: %s", r.c.opts.connectTimeout, status.Convert(err).Message())
		}
		cancel()
	}
	return s, err
}

// use waits until the session ends, or another shall take its place: errMoving.
func (r *run) use(s *session) error {
	defer s.unwatch()
	aging := s.aging()
	for {
		select {
		case <-s.Done():
			return r.ended(s)
		case g := <-s.moves:
			s.aged = false
			after := spread(g.ReconnectAfter)
			if after == 0 {
				r.steady(s)
				after = r.retry.next(nil)
			}
			s.move = time.NewTimer(after)
		case <-aging:
			aging = nil
			if s.move != nil {
				continue
			}
			r.steady(s)
			s.aged = true
			after := r.retry.move()
			s.move = time.NewTimer(after)
			r.c.opts.logger.LogAttrs(r.ctx, slog.LevelInfo, "the connection is about to end, the client moves",
				append(logattr.Client(s.Peer()), slog.Duration("after", after))...)
		case <-s.due():
			s.moving = true
			return errMoving
		case <-r.ctx.Done():
			s.Close(nil)
			return r.ended(s)
		case <-r.c.leaving.Done():
			r.leave(r.c.patience, s)
			return r.ended(s)
		}
	}
}

// steady lets the backoff start over if the session has lasted: until its connection
// was about to end, if it was.
func (r *run) steady(s *session) {
	if !s.aged && time.Since(s.began) >= stable {
		r.retry.reset()
	}
}

// part leaves a session, in the background.
func (r *run) part(s *session) {
	s.moving = false
	r.parting.Go(func() {
		r.leave(r.ctx, s)
		r.ended(s) //nolint:errcheck // it is no longer the one that matters
	})
}

// leave leaves a session, without loss unless ctx ends first.
func (r *run) leave(ctx context.Context, s *session) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	if s.Leave(ctx) != nil {
		s.Close(nil)
	}
}

// ended tells the hook that a session has ended, and returns why: never nil.
func (r *run) ended(s *session) error {
	s.Wait()
	err := s.Err()
	r.c.opts.logger.LogAttrs(r.ctx, slog.LevelInfo, "client disconnected", append(logattr.Client(s.Peer()), logattr.Reason(err)...)...)
	for _, h := range r.c.opts.hooks {
		if h.Disconnected != nil {
			h.Disconnected(s.Peer(), err)
		}
	}
	if err == nil {
		err = status.Error(codes.Unavailable, "pushtunnel: the server has ended the session")
	}
	return err
}

// peer is the client as its sessions name it.
func (r *run) peer() tunnel.Peer {
	c := r.c.opts.claim
	return tunnel.Peer{Name: c.Name, Namespace: c.Namespace, Labels: c.Labels}
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
