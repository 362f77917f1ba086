package native

import (
	"context"
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
	c := newConn(a, serverRole, newOptions(nil), nil)
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
