package server

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"time"
)

// grpc-go resets the deadlines of a connection that has been taken out of it, a moment
// after credentials.ErrConnDispatched: they may be those that its new owner has set
// meanwhile, and a connection that is silent would stay for ever.

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// handover hands a connection from grpc-go to a protocol. It is made before
// credentials.ErrConnDispatched.
type handover struct {
	conn net.Conn
	raw  net.Conn // that of the operating system, nil if it has none
}

// letGo begins a handover of a connection whose deadlines grpc-go will reset. raw is
// the one that grpc-go knows, conn what the protocol gets: raw, or something around it.
func letGo(raw, conn net.Conn) handover {
	if c, ok := raw.(interface{ NetConn() net.Conn }); ok {
		raw = c.NetConn() // TLS has the deadlines of what is below it
	}
	switch raw.(type) {
	case *net.TCPConn, *net.UnixConn:
		if raw.SetWriteDeadline(longAgo) == nil {
			return handover{conn, raw}
		}
	}
	return handover{&reminded{Conn: conn}, nil}
}

// The waits of finish: how often it looks without a pause, how long the pauses are at
// most, and how long it waits in all. The last is for a grpc-go that resets nothing.
const (
	eagerLooks   = 100
	longestPause = 5 * time.Millisecond
	longestReset = time.Second
)

// finish waits until grpc-go has let go of the connection, which shows when the deadline
// of letGo has gone. It returns the connection to use. A connection that can't be asked
// for that remembers its deadlines instead.
func (h handover) finish(ctx context.Context) (net.Conn, error) {
	if h.raw == nil {
		return h.conn, ctx.Err()
	}
	pause := 20 * time.Microsecond
	for looks, began := 0, time.Now(); timedOut(h.raw.Write(nil)); looks++ {
		if looks < eagerLooks {
			runtime.Gosched()
			continue
		}
		if time.Since(began) > longestReset || !sleep(ctx, pause) {
			break
		}
		pause = min(2*pause, longestPause)
	}
	_ = h.raw.SetWriteDeadline(time.Time{})
	return h.conn, ctx.Err()
}

func timedOut(_ int, err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// reminded is a connection whose deadlines are kept even if somebody else resets them.
type reminded struct {
	net.Conn
	read, write reminder
}

func (c *reminded) SetReadDeadline(t time.Time) error { return c.read.set(t, c.Conn.SetReadDeadline) }

func (c *reminded) SetWriteDeadline(t time.Time) error {
	return c.write.set(t, c.Conn.SetWriteDeadline)
}

func (c *reminded) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *reminded) Close() error {
	c.read.stop()
	c.write.stop()
	return c.Conn.Close()
}

// reminder sets a deadline once more when it has come.
type reminder struct {
	mu    sync.Mutex
	timer *time.Timer // nil: there is no deadline
}

func (r *reminder) set(t time.Time, set func(time.Time) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	if !t.IsZero() {
		var timer *time.Timer
		timer = time.AfterFunc(time.Until(t), func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.timer == timer { // it is the deadline still
				_ = set(longAgo)
			}
		})
		r.timer = timer
	}
	return set(t)
}

func (r *reminder) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
}

// forget stops the timer. r.mu is held.
func (r *reminder) forget() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}
