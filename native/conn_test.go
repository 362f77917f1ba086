package native

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// A Java peer closes a connection on which a body above 512 MiB comes, and all calls
// on it fail. So such a call is refused, and costs only itself.
func TestWhatIsTooLargeForJavaIsNotSent(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	c := newConn(t.Context(), a, serverRole, newOptions(nil), nil)
	defer c.close(nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	frame := make([]byte, brpcHeadSize+512<<20+1)
	if _, err := c.roundTrip(ctx, TypePush, &frame, 0, nil); status.Code(err) != codes.ResourceExhausted || !tunnel.NotSent(err) {
		t.Errorf("got %v", err)
	}
	if c.out.Waiting() > 0 {
		t.Error("it waits to be sent")
	}
	if err := c.fits(frame[:len(frame)-1]); err != nil {
		t.Errorf("512 MiB are refused: %v", err)
	}
}

// A call that comes when a write has just failed, and nobody has closed the
// connection yet, has not been sent: another connection can take it.
func TestCallBetweenFailureAndClose(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	c := newConn(t.Context(), a, serverRole, newOptions(nil), nil)
	c.out.Close(errors.New("broken pipe"))
	frame := make([]byte, brpcHeadSize)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for what, call := range map[string]func() error{
		"a call": func() error {
			_, err := c.roundTrip(ctx, TypePush, &frame, 0, nil)
			return err
		},
		"a one-way call": func() error { return c.tell(ctx, TypePush, &frame, 0) },
	} {
		if err := call(); status.Code(err) != codes.Unavailable || !tunnel.NotSent(err) {
			t.Errorf("%s: %v", what, err)
		}
		if !c.calls.ended() {
			t.Errorf("%s: the connection is still in use", what)
		}
	}
}
