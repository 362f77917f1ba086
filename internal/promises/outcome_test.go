package promises_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/faultnet"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// ledger counts how often the handler of each call has run.
type ledger struct {
	mu   sync.Mutex
	runs map[string]int
}

func (l *ledger) note(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range md.Get("id") {
		l.runs[id]++
	}
}

// service notes the calls, takes some time for each, and answers.
func (l *ledger) service() *service {
	work := func(ctx context.Context) error {
		l.note(ctx)
		md, _ := metadata.FromIncomingContext(ctx)
		us, err := strconv.Atoi(md.Get("work")[0])
		if err != nil {
			return err
		}
		return pause(ctx, time.Duration(us)*time.Microsecond)
	}
	return &service{
		unary: func(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			if err := work(ctx); err != nil {
				return nil, err
			}
			if r.GetFillUsername() {
				return nil, status.Error(codes.Unavailable, "the handler says so")
			}
			return &testgrpc.SimpleResponse{Payload: r.GetPayload()}, nil
		},
		stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
			if err := work(s.Context()); err != nil {
				return err
			}
			return echo().stream(s)
		},
	}
}

// A call's error tells whether its handler ran, whatever happens and whenever it
// does: if it was not sent or was refused, no handler ran; if it succeeded, one
// ran, once; and never more than one. So nothing is tried again that may have
// run.
func TestTheOutcomeIsRight(t *testing.T) {
	seeds := 40
	if testing.Short() {
		seeds = 8
	}
	got := map[string]int{}
	for seed := range uint64(seeds) { //nolint:gosec // not negative
		synctest.Test(t, func(t *testing.T) { playOutcomes(t, seed, got) })
	}
	t.Logf("got %v", got)
	for _, want := range []string{"OK", "answered Unavailable", "not sent", "refused", "unknown"} {
		if got[want] < seeds {
			t.Errorf("got %d calls that ended with %q, want some of each kind: %v", got[want], want, got)
		}
	}
}

// faults are what can happen to a world.
var faults = []func(*rand.Rand, *world, []*member){
	func(_ *rand.Rand, w *world, _ []*member) { w.net.Cut() },
	func(r *rand.Rand, w *world, _ []*member) { // one of the connections
		if conns := w.net.Conns(); len(conns) > 0 {
			conns[r.IntN(len(conns))].Cut()
		}
	},
	func(r *rand.Rand, w *world, _ []*member) {
		if conns := w.net.Conns(); len(conns) > 0 {
			conns[r.IntN(len(conns))].Silence()
		}
	},
	func(_ *rand.Rand, w *world, _ []*member) {
		w.net.Silence()
		time.AfterFunc(30*time.Millisecond, w.net.Heal)
	},
	func(_ *rand.Rand, w *world, _ []*member) {
		for s := range w.Sessions() {
			s.Close("enough")
			break
		}
	},
	func(_ *rand.Rand, w *world, _ []*member) {
		for s := range w.Sessions() {
			s.Drain("move")
		}
	},
	func(r *rand.Rand, _ *world, members []*member) {
		m := members[r.IntN(len(members))]
		go m.Shutdown(context.Background()) //nolint:errcheck,usetesting // the cleanup waits for it
	},
	func(r *rand.Rand, _ *world, members []*member) { members[r.IntN(len(members))].stop() },
}

func playOutcomes(t *testing.T, seed uint64, got map[string]int) {
	const callers, lasts = 24, 300 * time.Millisecond
	rnd := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // a test
	w := newWorld(t, faultnet.Config{Latency: time.Duration(rnd.IntN(5000)) * time.Microsecond, Bandwidth: 8 << 20, Buffer: 256 << 10},
		server.WithHeartbeat(40*time.Millisecond))
	book := &ledger{runs: make(map[string]int)}
	var members []*member
	for range 3 {
		members = append(members, w.connect(t, "c1", book.service(), client.WithMaxConcurrentCalls(6),
			client.WithBackoff(backoff.Config{BaseDelay: 20 * time.Millisecond, MaxDelay: 20 * time.Millisecond, Multiplier: 1})))
	}

	var mu sync.Mutex
	ended := map[string]error{}
	until := time.Now().Add(lasts)
	var done sync.WaitGroup
	for i := range callers {
		rnd := rand.New(rand.NewPCG(seed, uint64(100+i))) //nolint:gosec // a test
		done.Go(func() {
			for n := 0; time.Now().Before(until); n++ {
				id := fmt.Sprintf("%d.%d", i, n)
				err := drawCall(t.Context(), rnd, w, id)
				mu.Lock()
				ended[id] = err
				mu.Unlock()
				breath := 3 * time.Millisecond
				if tunnel.NotSent(err) {
					breath = 30 * time.Millisecond
				}
				time.Sleep(time.Duration(rnd.Int64N(int64(breath))))
			}
		})
	}
	for range 3 {
		time.Sleep(time.Duration(rnd.Int64N(int64(lasts / 3))))
		faults[rnd.IntN(len(faults))](rnd, w, members)
	}
	done.Wait()
	w.net.Heal()
	synctest.Wait()

	book.mu.Lock()
	defer book.mu.Unlock()
	for id, err := range ended {
		runs := book.runs[id]
		kind := tunnel.OutcomeOf(err).String()
		wrong := runs > 1
		switch tunnel.OutcomeOf(err) {
		case tunnel.OutcomeNotSent, tunnel.OutcomeRefused:
			wrong = wrong || runs != 0
		case tunnel.OutcomeAnswered:
			wrong = wrong || runs != 1
			if kind += " " + status.Code(err).String(); err == nil {
				kind = "OK"
			}
		case tunnel.OutcomeUnknown:
		}
		if got[kind]++; wrong {
			t.Errorf("seed %d, call %s: got %d runs of its handler and the outcome %v of %v", seed, id, runs, tunnel.OutcomeOf(err), err)
		}
	}
}

// drawCall makes some call.
func drawCall(ctx context.Context, rnd *rand.Rand, w *world, id string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(1+rnd.IntN(100_000))*time.Microsecond)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "id", id, "work", strconv.Itoa(rnd.IntN(20_000)))
	size := rnd.IntN(1000)
	if rnd.IntN(3) == 0 {
		size = rnd.IntN(80_000)
	}
	var opts []grpc.CallOption
	if rnd.IntN(3) == 0 {
		opts = append(opts, grpc.WaitForReady(true))
	}
	switch rnd.IntN(8) {
	case 0: // nobody serves it
		return w.Client("c1").Invoke(ctx, "/grpc.testing.TestService/Nothing", request(size), &testgrpc.SimpleResponse{}, opts...)
	case 1:
		r := request(size)
		r.FillUsername = true
		_, err := w.stub("c1").UnaryCall(ctx, r, opts...)
		return err
	case 2, 3:
		s, err := w.stub("c1").FullDuplexCall(ctx, opts...)
		if err != nil {
			return err
		}
		for range 1 + rnd.IntN(4) {
			if s.Send(&testgrpc.StreamingOutputCallRequest{Payload: payload(size)}) != nil {
				break
			}
		}
		s.CloseSend() //nolint:errcheck // always nil
		for {
			if _, err := s.Recv(); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
		}
	default:
		_, err := w.stub("c1").UnaryCall(ctx, request(size), opts...)
		return err
	}
}
