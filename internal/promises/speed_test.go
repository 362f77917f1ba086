package promises_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/internal/faultnet"
)

// bulk is a service that takes and gives much: a unary call answers with as many
// bytes as it is asked for, and a stream with as many messages.
func bulk() *service {
	return &service{
		unary: func(_ context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			return &testgrpc.SimpleResponse{Payload: payload(int(r.GetResponseSize()))}, nil
		},
		stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
			for {
				r, err := s.Recv()
				if err != nil {
					return nilAtEOF(err)
				}
				for _, p := range r.GetResponseParameters() {
					if err := s.Send(&testgrpc.StreamingOutputCallResponse{Payload: payload(int(p.GetSize()))}); err != nil {
						return err
					}
				}
			}
		},
	}
}

// transfers move so many bytes over a stub, one way or the other.
var transfers = map[string]func(*testing.T, testgrpc.TestServiceClient, int){
	"to the client, unary": func(t *testing.T, stub testgrpc.TestServiceClient, size int) {
		const most = 4<<20 - 1<<10 // of a message, by default
		for ; size > 0; size -= most {
			if _, err := stub.UnaryCall(t.Context(), request(min(size, most))); err != nil {
				t.Error(err)
			}
		}
	},
	"from the client, unary": func(t *testing.T, stub testgrpc.TestServiceClient, size int) {
		const most = 4<<20 - 1<<10
		for ; size > 0; size -= most {
			if _, err := stub.UnaryCall(t.Context(), &testgrpc.SimpleRequest{ResponseSize: int32(min(size, most))}); err != nil { //nolint:gosec // bounded
				t.Error(err)
			}
		}
	},
	"to the client, streaming": func(t *testing.T, stub testgrpc.TestServiceClient, size int) {
		s, err := stub.FullDuplexCall(t.Context())
		for ; size > 0 && err == nil; size -= 64 << 10 {
			err = s.Send(&testgrpc.StreamingOutputCallRequest{Payload: payload(64 << 10)})
		}
		if err == nil {
			err = s.CloseSend()
		}
		if err == nil {
			_, err = s.Recv()
		}
		if err != io.EOF { //nolint:errorlint // a stream's end
			t.Error(err)
		}
	},
	"from the client, streaming": func(t *testing.T, stub testgrpc.TestServiceClient, size int) {
		r := &testgrpc.StreamingOutputCallRequest{}
		for range size / (64 << 10) {
			r.ResponseParameters = append(r.ResponseParameters, &testgrpc.ResponseParameters{Size: 64 << 10})
		}
		s, err := stub.FullDuplexCall(t.Context())
		if err == nil {
			err = s.Send(r)
		}
		if err == nil {
			err = s.CloseSend()
		}
		got := 0
		for err == nil {
			var m *testgrpc.StreamingOutputCallResponse
			m, err = s.Recv()
			got += len(m.GetPayload().GetBody())
		}
		if err != io.EOF || got < size { //nolint:errorlint // a stream's end
			t.Errorf("got %d bytes, then %v, want %d bytes", got, err, size)
		}
	},
}

// 8 MiB over a round trip of 40 ms take less than 1.5 s, either way: windows grow
// to fit the path.
func TestDistanceDoesNotMakeItSlow(t *testing.T) {
	for why, transfer := range transfers {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, faultnet.Config{Latency: 20 * time.Millisecond})
				w.connect(t, "c1", bulk())
				start := time.Now()
				transfer(t, w.stub("c1"), 8<<20)
				got := time.Since(start)
				t.Logf("8 MiB at 40 ms round trip: %v", got)
				if got >= 1500*time.Millisecond {
					t.Errorf("got 8 MiB in %v, want less than 1.5s", got)
				}
			})
		})
	}
}

// The windows of HTTP/2 are so large here that they hold back nothing.
var (
	wideServer = []grpc.ServerOption{grpc.StaticStreamWindowSize(1 << 30), grpc.StaticConnWindowSize(1 << 30)}
	wideClient = []grpc.DialOption{grpc.WithStaticStreamWindowSize(1 << 30), grpc.WithStaticConnWindowSize(1 << 30)}
)

// Small calls beside a transfer of 64 MiB take less than 50 ms, 99 of 100 of
// them, though both share a connection.
func TestSmallCallsBesideALargeTransfer(t *testing.T) {
	const transferred, callers = 64 << 20, 8
	for _, path := range []struct {
		why string
		faultnet.Config
	}{
		{"gigabit nearby", faultnet.Config{Latency: time.Millisecond, Bandwidth: 125_000_000}},
		{"200 Mbit at 10 ms round trip", faultnet.Config{Latency: 5 * time.Millisecond, Bandwidth: 25_000_000}},
	} {
		for why, transfer := range transfers {
			if path.Latency > time.Millisecond && strings.HasSuffix(why, "unary") {
				continue // it takes a round trip for each 4 MiB
			}
			t.Run(path.why+", "+why, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorldWith(t, path.Config, wideServer, wideClient)
					w.connect(t, "c1", bulk())
					stub := w.stub("c1")
					ctx, cancel := context.WithCancel(t.Context())
					start := time.Now()
					var done sync.WaitGroup
					took := make([][]time.Duration, callers)
					for i := range took {
						done.Go(func() {
							for ctx.Err() == nil {
								start := time.Now()
								if _, err := stub.UnaryCall(t.Context(), request(100)); err != nil {
									t.Error(err)
									return
								}
								took[i] = append(took[i], time.Since(start))
								time.Sleep(time.Millisecond)
							}
						})
					}
					transfer(t, stub, transferred)
					lasted := time.Since(start)
					cancel()
					done.Wait()
					all := slices.Sorted(slices.Values(slices.Concat(took...)))
					p50, p99 := all[len(all)/2], all[len(all)*99/100]
					t.Logf("64 MiB in %v; %d small calls beside it: p50 %v, p99 %v, the longest %v", lasted, len(all), p50, p99, all[len(all)-1])
					if p99 >= 50*time.Millisecond {
						t.Errorf("got a p99 of %v, want less than 50ms", p99)
					}
				})
			})
		}
	}
}
