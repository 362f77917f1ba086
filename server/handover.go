package server

import (
	"context"
	"errors"
	"net"
	"runtime"
	"syscall"
	"time"
)

// grpc-go resets the deadlines of a connection that has been taken out of it, a moment
// after credentials.ErrConnDispatched: they may be those that its new owner has set
// meanwhile, and a connection that is silent would stay for ever. So the new owner
// waits for the reset: a deadline that has passed goes away then.

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// blockWrites sets the deadline that handedOver waits for.
func blockWrites(conn net.Conn) { _ = conn.SetWriteDeadline(longAgo) }

// The waits of handedOver: how often it looks without a pause, how long the pauses are
// at most, and how long it waits in all. The last is for a grpc-go that resets nothing.
const (
	eagerLooks   = 100
	longestPause = 5 * time.Millisecond
	longestReset = time.Second
)

// handedOver waits until grpc-go has let go of a connection. It reports false if ctx
// ends first.
func handedOver(ctx context.Context, conn net.Conn) bool {
	pause := 20 * time.Microsecond
	for looks, began := 0, time.Now(); timedOut(tryWrite(conn)); looks++ {
		if looks < eagerLooks {
			runtime.Gosched()
			continue
		}
		if time.Since(began) > longestReset {
			break
		}
		if !sleep(ctx, pause) {
			return false
		}
		pause = min(2*pause, longestPause)
	}
	_ = conn.SetWriteDeadline(time.Time{})
	return ctx.Err() == nil
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// tryWrite reports whether a connection could be written to. It writes nothing.
func tryWrite(conn net.Conn) error {
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS looks at no deadline if there is nothing to write
		conn = c.NetConn()
	}
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			return raw.Write(func(uintptr) bool { return true })
		}
	}
	_, err := conn.Write(nil)
	return err
}
