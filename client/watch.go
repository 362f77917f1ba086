package client

import (
	"context"
	"sync"

	"google.golang.org/grpc/connectivity"
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
// It is begun before the session's stream, so that it misses nothing. Then it may be
// wrong if the ClientConn changes its connection at that moment. That costs one move
// which was not needed, and loses nothing.
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
		for conn.WaitForStateChange(ctx, state) {
			if state == connectivity.Ready {
				close(w.left)
				return
			}
			state = conn.GetState()
		}
	})
	return w
}

// stop ends the watch and waits for its goroutine.
func (w *watch) stop() {
	w.cancel()
	w.done.Wait()
}
