package metrics_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/metrics"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// ended is what is seen of a call that has ended so.
func ended(method, code, outcome string) sample {
	return sample{
		`calls_total{code="` + code + `",method="` + method + `",outcome="` + outcome + `"}`: 1,
		`call_duration_seconds{method="` + method + `"}`:                                     1,
	}
}

func and(all ...sample) sample {
	sum := make(sample)
	for _, s := range all {
		for series, v := range s {
			sum[series] += v
		}
	}
	return sum
}

func TestCallsByCodeAndOutcome(t *testing.T) {
	for _, test := range []struct {
		name    string
		handler func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error)
		opts    []server.Option
		call    func(context.Context, *tunneltest.Server) error
		want    sample
	}{
		{name: "an answer", want: ended(unaryMethod, "OK", "answered")},
		{
			name: "an error of the handler",
			handler: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				return nil, status.Error(codes.NotFound, "no")
			},
			want: ended(unaryMethod, "NotFound", "answered"),
		},
		{
			name: "a code that gRPC does not have",
			handler: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				return nil, status.Error(4711, "no")
			},
			want: ended(unaryMethod, "other", "answered"),
		},
		{
			name: "a limit that the client says it has",
			handler: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				return nil, tunnel.LimitMemory.Status("full").Err()
			},
			want: and(ended(unaryMethod, "ResourceExhausted", "answered"), sample{`limit_hits_total{end="client",limit="memory"}`: 1}),
		},
		{
			name: "a limit that the client makes up",
			handler: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				return nil, tunnel.Limit("my own").Status("full").Err()
			},
			want: and(ended(unaryMethod, "ResourceExhausted", "answered"), sample{`limit_hits_total{end="client",limit="other"}`: 1}),
		},
		{
			name: "a limit of the server",
			opts: []server.Option{server.WithMaxCallsPerSession(1), server.WithMaxQueued(1)},
			call: func(ctx context.Context, push *tunneltest.Server) error {
				push.Client("c1").NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, streamMethod)
				return call(ctx, push.Client("c1"))
			},
			want: and(ended(unaryMethod, "ResourceExhausted", "not_sent"), sample{
				`limit_hits_total{end="server",limit="outgoing_calls"}`: 1,
				`calls_in_flight{method="` + streamMethod + `"}`:        1,
				`session_calls_in_flight{namespace="",protocol="grpc"}`: 1,
			}),
		},
		{
			name: "nobody of that name",
			call: func(ctx context.Context, push *tunneltest.Server) error { return call(ctx, push.Client("nobody")) },
			want: ended(unaryMethod, "Unavailable", "not_sent"),
		},
		{
			name: "a method that the client does not have",
			call: func(ctx context.Context, push *tunneltest.Server) error {
				return push.Client("c1").Invoke(ctx, "/x.Y/Z", &testgrpc.Empty{}, &testgrpc.Empty{})
			},
			want: ended("/x.Y/Z", "Unimplemented", "refused"),
		},
		{
			name: "one session",
			call: func(ctx context.Context, push *tunneltest.Server) error { return call(ctx, only(push)) },
			want: ended(unaryMethod, "OK", "answered"),
		},
		{
			name: "the session ends meanwhile",
			call: func(ctx context.Context, push *tunneltest.Server) error {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				var wg sync.WaitGroup
				defer wg.Wait()
				wg.Go(func() {
					synctest.Wait()
					cancel()
				})
				return call(ctx, push.Client("c1"))
			},
			handler: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			want: ended(unaryMethod, "Canceled", "unknown"),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, push := newServer(t, append([]server.Option{server.WithHeartbeat(-1)}, test.opts...)...)
				push.Connect(t, "c1", (&service{unary: test.handler, stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
					<-s.Context().Done()
					return nil
				}}).register)
				synctest.Wait()
				before := scrape(t, m)
				if test.call == nil {
					test.call = func(ctx context.Context, push *tunneltest.Server) error { return call(ctx, push.Client("c1")) }
				}
				test.call(t.Context(), push) //nolint:errcheck // the metrics tell
				synctest.Wait()
				want(t, m, before, test.want)
			})
		})
	}
}

func TestCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, push := newServer(t, server.WithHeartbeat(-1))
		release := make(chan struct{})
		push.Connect(t, "c1", (&service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			<-release
			return &testgrpc.SimpleResponse{}, nil
		}}).register)
		synctest.Wait()
		before := scrape(t, m)
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for _, name := range []string{"c1", "c1", "later"} { // one waits for its client
			calls.Go(func() { call(ctx, push.Client(name), grpc.WaitForReady(true)) })
		}
		synctest.Wait()
		flying := want(t, m, before, sample{
			`calls_in_flight{method="` + unaryMethod + `"}`:         3,
			`session_calls_in_flight{namespace="",protocol="grpc"}`: 2,
		})
		wantCalls := func(calls metrics.MethodCalls) {
			t.Helper()
			if diff := cmp.Diff([]metrics.MethodCalls{calls}, m.Calls()); diff != "" {
				t.Errorf("Calls (-want +got):\n%s", diff)
			}
		}
		wantCalls(metrics.MethodCalls{Method: unaryMethod, InFlight: 3})
		close(release)
		synctest.Wait()
		cancel()
		calls.Wait()
		synctest.Wait()
		want(t, m, flying, and(sample{
			`calls_in_flight{method="` + unaryMethod + `"}`:         -3,
			`session_calls_in_flight{namespace="",protocol="grpc"}`: -2,
		}, ended(unaryMethod, "OK", "answered"), ended(unaryMethod, "OK", "answered"), ended(unaryMethod, "Canceled", "not_sent")))
		wantCalls(metrics.MethodCalls{Method: unaryMethod, Ended: 3, Failed: 1})
	})
}

// A stream is a call until its end is read, or its context ends.
func TestStreams(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(testgrpc.TestService_FullDuplexCallClient, context.CancelFunc)
		want sample
	}{
		{
			"the end is read",
			func(s testgrpc.TestService_FullDuplexCallClient, _ context.CancelFunc) {
				s.CloseSend()
				for {
					if _, err := s.Recv(); err != nil {
						return
					}
				}
			},
			ended(streamMethod, "DataLoss", "answered"),
		},
		{
			"the context ends",
			func(_ testgrpc.TestService_FullDuplexCallClient, cancel context.CancelFunc) { cancel() },
			ended(streamMethod, "Canceled", "unknown"),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, push := newServer(t, server.WithHeartbeat(-1))
				push.Connect(t, "c1", (&service{stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
					for {
						r, err := s.Recv()
						if errors.Is(err, io.EOF) {
							return status.Error(codes.DataLoss, "so be it")
						}
						if err != nil {
							return err
						}
						s.Send(&testgrpc.StreamingOutputCallResponse{Payload: r.GetPayload()})
					}
				}}).register)
				synctest.Wait()
				before := scrape(t, m)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				stream, err := testgrpc.NewTestServiceClient(push.Client("c1")).FullDuplexCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for range 3 {
					if err := stream.Send(&testgrpc.StreamingOutputCallRequest{}); err != nil {
						t.Fatal(err)
					}
					if _, err := stream.Recv(); err != nil {
						t.Fatal(err)
					}
				}
				before = want(t, m, before, sample{
					`calls_in_flight{method="` + streamMethod + `"}`:        1,
					`session_calls_in_flight{namespace="",protocol="grpc"}`: 1,
				})
				test.end(stream, cancel)
				synctest.Wait()
				want(t, m, before, and(test.want, sample{
					`calls_in_flight{method="` + streamMethod + `"}`:        -1,
					`session_calls_in_flight{namespace="",protocol="grpc"}`: -1,
				}))
			})
		})
	}
}

// A stream that cannot begin has ended once, whoever has failed it.
func TestStreamsThatDoNotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, push := newServer(t, server.WithStreamInterceptors(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if method == "/refused" {
				return nil, status.Error(codes.PermissionDenied, "no")
			}
			return open(ctx, desc, cc, method, opts...)
		}))
		push.Client("nobody").NewStream(t.Context(), &grpc.StreamDesc{}, "/nobody")
		push.Client("nobody").NewStream(t.Context(), &grpc.StreamDesc{}, "/refused")
		want(t, m, nil, and(ended("/nobody", "Unavailable", "not_sent"), ended("/refused", "PermissionDenied", "answered")))
	})
}

// A panic that somebody recovers from is no call in flight for ever.
func TestPanics(t *testing.T) {
	m := metrics.New()
	push := server.New(m.Option(), server.WithPicker(func(server.Pick) *server.Session { return nil }),
		server.WithUnaryInterceptors(func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
			panic("a mistake")
		}))
	func() {
		defer func() { recover() }()
		call(t.Context(), push.Client("c1"))
	}()
	if got := scrape(t, m).sum("calls_in_flight"); got != 0 {
		t.Errorf("got %v calls in flight after a panic, want 0", got)
	}
}

// However many methods callers ask for, there is a bounded number of series.
func TestMethodsAreBounded(t *testing.T) {
	m := metrics.New(metrics.WithMaxMethods(2), metrics.WithBuckets())
	push := server.New(m.Option())
	for i := range 10 {
		push.Client("c1").Invoke(t.Context(), "/x/"+strconv.Itoa(i), nil, nil)
	}
	push.Client("c1").Invoke(t.Context(), "/\xff\xfe", nil, nil)
	push.Client("c1").Invoke(t.Context(), "/x/1", nil, nil)
	want(t, m, nil, sample{
		`calls_total{code="Unavailable",method="/x/0",outcome="not_sent"}`:  1,
		`calls_total{code="Unavailable",method="/x/1",outcome="not_sent"}`:  2,
		`calls_total{code="Unavailable",method="other",outcome="not_sent"}`: 9,
		`call_duration_seconds{method="/x/0"}`:                              1,
		`call_duration_seconds{method="/x/1"}`:                              2,
		`call_duration_seconds{method="other"}`:                             9,
	})
}
