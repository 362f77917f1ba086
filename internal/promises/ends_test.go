package promises_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/internal/faultnet"
	"github.com/pushtunnel/pushtunnel/server"
)

// moody is a service that draws lots: a handler answers, fails, waits for ever
// or sends for ever.
func moody(seed uint64) *service {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rnd.IntN(n)
	}
	return &service{
		unary: func(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			switch draw(4) {
			case 0:
				<-ctx.Done()
				return nil, ctx.Err()
			case 1:
				return nil, status.Error(codes.NotFound, "not here")
			}
			if err := pause(ctx, time.Duration(draw(1000))*time.Millisecond); err != nil {
				return nil, err
			}
			return &testgrpc.SimpleResponse{Payload: r.GetPayload()}, nil
		},
		stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
			switch draw(4) {
			case 0:
				<-s.Context().Done()
				return s.Context().Err()
			case 1:
				for { // as long as somebody takes it
					if err := s.Send(&testgrpc.StreamingOutputCallResponse{Payload: payload(10_000)}); err != nil {
						return err
					}
				}
			case 2:
				return echo().stream(s)
			}
			for i := range 20 { // now and then
				if err := pause(s.Context(), time.Duration(draw(100))*time.Millisecond); err != nil {
					return err
				}
				if err := s.Send(&testgrpc.StreamingOutputCallResponse{Payload: payload(100 * i)}); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// ending is how a call ended.
type ending struct {
	kind     string
	began    time.Time
	deadline time.Time // zero: none
	ended    time.Time
	err      error
	finishes int // of OnFinish
}

// makeCall makes a call of some kind, to its end.
func makeCall(ctx context.Context, stub testgrpc.TestServiceClient, kind int, e *ending) {
	onFinish := grpc.OnFinish(func(error) { e.finishes++ })
	e.began = time.Now()
	e.deadline, _ = ctx.Deadline()
	defer func() { e.ended = time.Now() }()
	switch kind {
	case 0, 1:
		e.kind = "unary"
		_, e.err = stub.UnaryCall(ctx, request(kind*100_000), onFinish)
		return
	case 2:
		e.kind = "receiving"
	case 3:
		e.kind = "sending"
	case 4:
		e.kind = "sending and receiving"
	}
	s, err := stub.FullDuplexCall(ctx, onFinish)
	if err != nil {
		e.err = err
		return
	}
	if kind == 3 || kind == 4 {
		var sending sync.WaitGroup
		defer sending.Wait()
		send := func() {
			for range 200 {
				if s.Send(&testgrpc.StreamingOutputCallRequest{Payload: payload(10_000)}) != nil {
					return
				}
			}
			s.CloseSend()
		}
		if kind == 4 {
			sending.Go(send)
		} else {
			send()
		}
	}
	for e.err == nil {
		_, e.err = s.Recv()
	}
	if errors.Is(e.err, io.EOF) {
		e.err = nil
	}
}

// Calls of all kinds are under way, hundreds at once, when something happens to
// the network. Each ends once. One with a deadline ends by then, and all the
// others when the session has ended.
func TestEveryCallEndsOnceAndOnTime(t *testing.T) {
	const (
		calls     = 300
		latency   = 5 * time.Millisecond
		heartbeat = time.Second
		fault     = 1500 * time.Millisecond // when it happens
	)
	for _, test := range []struct {
		why    string
		happen func(*world)
		opts   []server.Option
		noted  time.Duration // when calls without a deadline must have ended; 0: they have one
	}{
		{"nothing happens", func(w *world) { w.net.Conns() }, nil, 0},
		{"the network falls silent", func(w *world) { w.net.Silence() }, nil, fault + latency + 2*heartbeat},
		{"the network falls silent, and there are no heartbeats", func(w *world) { w.net.Silence() }, []server.Option{server.WithHeartbeat(-1)}, 0},
		{"the network falls silent for a while", func(w *world) {
			w.net.Silence()
			time.AfterFunc(heartbeat, w.net.Heal)
		}, nil, 0},
		{"the connection is cut", func(w *world) { w.net.Cut() }, nil, fault},
		{"the server closes the session", func(w *world) {
			for s := range w.Sessions() {
				s.Close("enough")
			}
		}, nil, fault},
		{"the server is closed", func(w *world) { w.Close() }, nil, fault},
	} {
		t.Run(test.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, faultnet.Config{Latency: latency, Bandwidth: 5 << 20}, append([]server.Option{server.WithHeartbeat(heartbeat)}, test.opts...)...)
				w.connect(t, "c1", moody(1))
				rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
				endings := make([]ending, calls)
				start := time.Now()
				var callers sync.WaitGroup
				for i := range endings {
					ctx, cancel := t.Context(), context.CancelFunc(func() {})
					begin := time.Duration(rnd.Int64N(int64(2 * fault)))
					if test.noted == 0 || rnd.IntN(2) == 0 {
						ctx, cancel = context.WithDeadline(ctx, start.Add(begin+time.Duration(rnd.Int64N(int64(5*time.Second)))))
					} else {
						begin %= fault
					}
					kind := rnd.IntN(5)
					callers.Go(func() {
						defer cancel()
						time.Sleep(begin)
						makeCall(ctx, w.stub("c1"), kind, &endings[i])
					})
				}
				time.Sleep(fault)
				test.happen(w)
				callers.Wait()
				synctest.Wait()

				got := map[string]int{}
				for i, e := range endings {
					what := fmt.Sprintf("call %d, %s, begun after %v, ended after %v with %v", i, e.kind, e.began.Sub(start), e.ended.Sub(start), e.err)
					if e.finishes != 1 {
						t.Errorf("%s: got %d ends, want 1", what, e.finishes)
					}
					if _, ok := status.FromError(e.err); !ok {
						t.Errorf("%s: got %T, want a status", what, e.err)
					}
					switch {
					case !e.deadline.IsZero():
						if e.ended.After(e.deadline) {
							t.Errorf("%s: got an end %v after its deadline, want none after it", what, e.ended.Sub(e.deadline))
						}
						wantCode(t, what, e.err, codes.OK, codes.NotFound, codes.DeadlineExceeded, codes.Unavailable)
					case test.noted > 0:
						if at := e.ended.Sub(start); at > test.noted {
							t.Errorf("%s: want it by %v", what, test.noted)
						}
						wantCode(t, what, e.err, codes.OK, codes.NotFound, codes.Unavailable)
					}
					got[status.Code(e.err).String()]++
				}
				t.Logf("got %v", got)
				if got["OK"] == 0 || got["NotFound"] == 0 || got["DeadlineExceeded"] == 0 || test.noted > 0 && got["Unavailable"] < 50 {
					t.Errorf("got %v, want some of each kind", got)
				}
				if n := w.inFlight(); n != 0 {
					t.Errorf("got %d calls under way in the end, want none", n)
				}
			})
		})
	}
}

// A caller that waits for room to send is told when the handler has ended the
// call.
func TestACallerThatSendsLearnsOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, faultnet.Config{Latency: time.Millisecond}, server.WithHeartbeat(-1))
		read := make(chan struct{})
		w.connect(t, "c1", &service{stream: func(testgrpc.TestService_FullDuplexCallServer) error {
			<-read
			return status.Error(codes.NotFound, "not here")
		}})
		s, err := w.stub("c1").FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() {
			for err == nil {
				err = s.Send(&testgrpc.StreamingOutputCallRequest{Payload: payload(50_000)})
			}
			sent <- err
		}()
		synctest.Wait() // until it can send no more
		close(read)
		if err := <-sent; !errors.Is(err, io.EOF) {
			t.Errorf("Send: got %v, want %v", err, io.EOF)
		}
		_, err = s.Recv()
		wantCode(t, "Recv", err, codes.NotFound)
	})
}

// The handler of a call learns that the call was cancelled, though its caller
// neither sends nor receives any more.
func TestAHandlerLearnsThatItsCallerHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const latency = 10 * time.Millisecond
		w := newWorld(t, faultnet.Config{Latency: latency}, server.WithHeartbeat(-1))
		ended := make(chan time.Time, 1)
		w.connect(t, "c1", &service{stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
			<-s.Context().Done()
			ended <- time.Now()
			return s.Context().Err()
		}})
		ctx, cancel := context.WithCancel(t.Context())
		finished := make(chan error, 1)
		if _, err := w.stub("c1").FullDuplexCall(ctx, grpc.OnFinish(func(err error) { finished <- err })); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		start := time.Now()
		cancel()
		wantCode(t, "OnFinish", <-finished, codes.Canceled)
		if got := time.Since(start); got != 0 {
			t.Errorf("got an end of the call after %v, want it at once", got)
		}
		if got := (<-ended).Sub(start); got != latency {
			t.Errorf("got an end of the handler's context after %v, want it after %v", got, latency)
		}
		if got := w.inFlight(); got != 0 {
			t.Errorf("got %d calls under way, want none", got)
		}
	})
}

// Both ends notice within two heartbeats that the other has fallen silent, and
// not before they may: a network that heals in time has lost nothing.
func TestSilenceIsNoticedWithinTwoHeartbeats(t *testing.T) {
	const latency, heartbeat = 10 * time.Millisecond, 5 * time.Second
	for _, idle := range []time.Duration{0, heartbeat / 2, heartbeat, heartbeat + latency, 10*heartbeat + time.Second} {
		t.Run(fmt.Sprintf("after %v", idle), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone := make(chan time.Time, 1)
				w := newWorld(t, faultnet.Config{Latency: latency}, server.WithHeartbeat(heartbeat),
					server.WithHooks(server.Hooks{Disconnected: func(_ *server.Session, err error) {
						wantCode(t, "the session", err, codes.Unavailable)
						gone <- time.Now()
					}}))
				m := w.connect(t, "c1", echo())
				time.Sleep(idle)
				if _, err := w.stub("c1").UnaryCall(t.Context(), request(1)); err != nil {
					t.Fatalf("a call in time: got %v, want an answer", err)
				}
				// The last that the server hears of is the answer, now; the client
				// has heard of the call before.
				start := time.Now()
				w.net.Silence()
				waiting := make(chan error, 1)
				go func() {
					_, err := w.stub("c1").UnaryCall(t.Context(), request(1))
					waiting <- err
				}()
				err := <-waiting
				wantCode(t, "a call that waits", err, codes.Unavailable)
				if got := time.Since(start); got != 2*heartbeat {
					t.Errorf("got an end of the call after %v, want it after %v", got, 2*heartbeat)
				}
				if got := (<-gone).Sub(start); got != 2*heartbeat {
					t.Errorf("got an end of the server's session after %v, want it after %v", got, 2*heartbeat)
				}
				wantCode(t, "the client's session", <-m.went, codes.Unavailable)
				m.mu.Lock()
				defer m.mu.Unlock()
				// The client gives the server a second more to end the stream.
				if got := m.lost[0].Sub(start); got > 2*heartbeat+time.Second {
					t.Errorf("got an end of the client's session after %v, want it within %v", got, 2*heartbeat)
				}
			})
		})
	}
}

// Heartbeats keep a session that is idle for long, and a silence that is
// shorter than two of them does no harm.
func TestHeartbeatsKeepAnIdleSession(t *testing.T) {
	const heartbeat = 5 * time.Second
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, faultnet.Config{Latency: 10 * time.Millisecond}, server.WithHeartbeat(heartbeat))
		m := w.connect(t, "c1", echo())
		time.Sleep(time.Hour)
		for range 10 {
			w.net.Silence()
			time.Sleep(heartbeat - 50*time.Millisecond)
			w.net.Heal()
			time.Sleep(time.Minute)
		}
		if _, err := w.stub("c1").UnaryCall(t.Context(), request(1)); err != nil {
			t.Errorf("got %v, want an answer", err)
		}
		for s := range w.Sessions() {
			if got, want := s.RoundTrip(), 20*time.Millisecond; got != want {
				t.Errorf("got a round trip of %v, want %v", got, want)
			}
		}
		if got := len(m.went); got != 0 {
			t.Errorf("got %d sessions that ended, want none", got)
		}
	})
}
