//go:build unix

package nginx

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// An idle tunnel stays, since its heartbeats are messages: nginx ends what is silent.
func TestHeartbeatsKeepATunnelUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	p, q := w.join(t, w.dial(t), "plain"), w.join(t, w.dialTLS(t), "TLS")
	receive(t, w.heard, "a hello")
	receive(t, w.heard, "a hello")
	start, beats := time.Now(), 0
	for ; time.Since(start) < 3*silence; beats++ {
		receive(t, w.heard, "a heartbeat")
	}
	t.Logf("%d messages from two clients in %v", beats, time.Since(start))
	for name, p := range map[string]*peer{"plain": p, "TLS": q} {
		w.ask(t, name)
		none(t, p.went, "ends of the session")
	}
	none(t, w.went, "ends of sessions at the server")
}

// This is what heartbeats prevent, and what shows that nginx ends what is silent.
func TestATunnelWithoutHeartbeatsIsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{heartbeat: time.Hour})
	start := time.Now()
	p := w.join(t, w.dial(t), "c1")
	if err := receive(t, p.went, "an end of the session"); err == nil {
		t.Error("got a session that ended in order, want one that was cut off")
	}
	if got := time.Since(start); got < silence-time.Second/2 || got > 2*silence {
		t.Errorf("got an end after %v, want it after %v", got, silence)
	}
	if err := receive(t, w.went, "an end of the session at the server"); status.Code(err) != codes.Unavailable {
		t.Errorf("at the server: got %v, want Unavailable", err)
	}
	receive(t, p.came, "the client to come back")
	w.ask(t, "c1")
}

// One end talks all the time and the other has nothing to say: to the one in the
// middle that is silence, too.
func TestAStreamInOneDirection(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(t *testing.T, w *world, p *peer){
		"from the client": func(t *testing.T, w *world, _ *peer) {
			every := &testgrpc.ResponseParameters{IntervalUs: 500_000}
			s, err := w.stub("c1").StreamingOutputCall(t.Context(), &testgrpc.StreamingOutputCallRequest{
				ResponseParameters: []*testgrpc.ResponseParameters{
					every, every, every, every, every, every, every, every, every, every,
					every, every, every, every, every, every, every, every, every, every,
					every, every, every, every, every, every, every, every, every, every,
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			for n := range 30 {
				if _, err := s.Recv(); err != nil {
					t.Fatalf("message %d: %v", n, err)
				}
			}
		},
		"to the client": func(t *testing.T, w *world, p *peer) {
			s, err := w.stub("c1").StreamingInputCall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for n := range 30 {
				if err := pause(t.Context(), time.Second/2); err != nil {
					t.Fatal(err)
				}
				if err := s.Send(&testgrpc.StreamingInputCallRequest{}); err != nil {
					t.Fatalf("message %d: %v", n, err)
				}
			}
			if _, err := s.CloseAndRecv(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{})
			p := w.join(t, w.dial(t), "c1")
			test(t, w, p)
			none(t, p.went, "ends of the session")
		})
	}
}
