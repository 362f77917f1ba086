package client

import (
	"context"
	"sync"

	"google.golang.org/grpc/connectivity"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// stater is what a *grpc.ClientConn tells of its connections, and what embeds one.
type stater interface {
	GetState() connectivity.State
	WaitForStateChange(ctx context.Context, source connectivity.State) bool
}

// watch notices that the connection under a session is about to end: the other end
// has sent GOAWAY, or name resolution no longer gives its address. The ClientConn
// leaves READY then, so that nothing new begins on that connection, while the
// streams on it go on.
//
// It begins when the session's stream has a connection: the ClientConn may have been
// READY with another one until then.
type watch struct {
	left   chan struct{} // closed when that has happened
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// newWatch begins to watch, on a goroutine that stop ends.
func newWatch(conn stater) *watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{left: make(chan struct{}), cancel: cancel}
	state := conn.GetState()
	w.done.Go(func() {
		// CONNECTING is what it was until a moment ago: a stream gets its connection a
		// little before the state says READY. But from IDLE no stream begins.
		for state != connectivity.Idle && conn.WaitForStateChange(ctx, state) {
			if state == connectivity.Ready {
				close(w.left)
				return
			}
			state = conn.GetState()
		}
		if ctx.Err() == nil {
			close(w.left)
		}
	})
	return w
}

// stop ends the watch and waits for its goroutine.
func (w *watch) stop() {
	w.cancel()
	w.done.Wait()
}

// streamLink is a session on a gRPC stream whose connection is watched. Who gets it
// stops the watch.
type streamLink struct {
	tunnel.Link
	watch *watch
}
