package tunnel

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// smallWindow is a peer that takes as little as the protocol allows.
func smallWindow(h *pb.Hello) { h.CallWindow = 1024 }

// What waits because the peer does not take it is bounded, for a session and for
// all that share a Budget, and what has gone or was given up makes room.
func TestQueuedMessagesAreBounded(t *testing.T) {
	const size = 4000 // of which a window of 1024 bytes lets a part go
	for name, test := range map[string]struct {
		cfg  Config
		want Limit
	}{
		"of a session":        {Config{MaxQueued: 2 * (size + 600)}, LimitQueued},
		"of what they share":  {Config{Memory: NewBudget(2 * (size + 600))}, LimitMemory},
		"whichever is less":   {Config{MaxQueued: 2 * (size + 600), Memory: NewBudget(1 << 20)}, LimitQueued},
		"the other is less":   {Config{MaxQueued: 1 << 20, Memory: NewBudget(2 * (size + 600))}, LimitMemory},
		"a limit of the peer": {Config{MaxOutgoingCalls: 2}, LimitOutgoingCalls},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				test.cfg.Remote = Peer{Name: "c1"}
				p := accepted(t, test.cfg, smallWindow)
				ctx, cancel := context.WithCancel(t.Context())
				first, _ := p.invoke(ctx, string(filled(size)))
				second, _ := p.invoke(t.Context(), string(filled(size)))
				third, _ := p.invoke(t.Context(), string(filled(size)))
				err := third.wait("the third")
				if status.Code(err) != codes.ResourceExhausted || !NotSent(err) {
					t.Errorf("the third: got %v, %v", err, OutcomeOf(err))
				}
				if got, _ := LimitOf(err); got != test.want {
					t.Errorf("got the limit %q of %v, want %q", got, err, test.want)
				}
				if queued := p.session.Traffic().Queued; queued < size || queued > 2*(size+600) {
					t.Errorf("%d bytes are queued, want those of two calls", queued)
				}
				cancel()
				first.wantErr("the first", codes.Canceled, OutcomeUnknown, "")
				fourth, _ := p.invoke(t.Context(), string(filled(size)))
				p.session.Close(nil)
				for _, c := range []*async{second, fourth} {
					c.wantErr("when the session ends", codes.Unavailable, OutcomeUnknown, "")
				}
				if queued, used := p.session.Traffic().Queued, test.cfg.Memory.Used(); queued != 0 || used != 0 {
					t.Errorf("%d bytes are queued and %d are taken at the end, want none", queued, used)
				}
			})
		})
	}
}

// A message that is larger than the limit goes if nothing else waits.
func TestALargeMessageAloneIsNotBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{MaxQueued: 1000}, smallWindow)
		first, _ := p.invoke(t.Context(), string(filled(4000)))
		second, _ := p.invoke(t.Context(), "x")
		err := second.wait("the second")
		if got, _ := LimitOf(err); got != LimitQueued {
			t.Errorf("got the limit %q of %v, want %q", got, err, LimitQueued)
		}
		p.session.Close(nil)
		first.wantErr("the first", codes.Unavailable, OutcomeUnknown, "")
	})
}
