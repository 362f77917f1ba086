package gateway_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/server"
)

// eachWay runs f in each world, with a client that serves s and a stub to call it
// through the gateway.
func eachWay(t *testing.T, s *service, f func(t *testing.T, w *world, stub testgrpc.TestServiceClient), opts ...client.Option) {
	t.Helper()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, way.setup)
				w.connect(t, "c1", s.register, opts...)
				f(t, w, testgrpc.NewTestServiceClient(w.caller(t, "pushtunnel-client", "c1")))
			})
		})
	}
}

// TestWholeStatus passes on all that an answer has besides its message, and the
// deadline, which leaves the clock of a bubble as it is.
func TestWholeStatus(t *testing.T) {
	st, err := status.New(codes.FailedPrecondition, "the disk is füll").WithDetails(
		&errdetails.ErrorInfo{Reason: "DISK", Domain: "d", Metadata: map[string]string{"free": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	s := &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		deadline, ok := ctx.Deadline()
		if left := time.Until(deadline); !ok || left != time.Hour {
			t.Errorf("the handler has %v, want an hour", left)
		}
		_ = grpc.SetHeader(ctx, metadata.Pairs("h", "1", "h-bin", "\x00"))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("t", "2", gateway.OutcomeKey, "not sent"))
		return nil, st.Err()
	}}
	eachWay(t, s, func(t *testing.T, _ *world, stub testgrpc.TestServiceClient) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var header, trailer metadata.MD
		_, err := stub.UnaryCall(ctx, &testgrpc.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer))
		if diff := cmp.Diff(st.Proto(), status.Convert(err).Proto(), protocmp.Transform()); diff != "" {
			t.Errorf("the status (-want +got):\n%s", diff)
		}
		delete(header, "content-type")
		delete(trailer, "grpc-status-details-bin") // as any gRPC trailer has it
		if diff := cmp.Diff(metadata.Pairs("h", "1", "h-bin", "\x00"), header); diff != "" {
			t.Errorf("the header (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(metadata.Pairs("t", "2", gateway.OutcomeKey, "answered"), trailer); diff != "" {
			t.Errorf("the trailer (-want +got):\n%s", diff)
		}
	})
}

// TestNoOutcomeOfSuccess drops what only the gateway may say.
func TestNoOutcomeOfSuccess(t *testing.T) {
	s := &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("t", "2", gateway.OutcomeKey, "not sent"))
		return &testgrpc.SimpleResponse{}, nil
	}}
	eachWay(t, s, func(t *testing.T, _ *world, stub testgrpc.TestServiceClient) {
		var trailer metadata.MD
		if _, err := stub.UnaryCall(t.Context(), &testgrpc.SimpleRequest{}, grpc.Trailer(&trailer)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(metadata.Pairs("t", "2"), trailer); diff != "" {
			t.Errorf("the trailer (-want +got):\n%s", diff)
		}
	})
}

// TestOutcomes has calls fail at every stage.
func TestOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{})
		s := &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			began <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		w := newWorld(t, setup{})
		peer, _ := w.connect(t, "c1", s.register, client.WithMaxRecvMsgSize(1000))
		cc := w.caller(t, "pushtunnel-client", "c1")

		var trailer metadata.MD
		err := cc.Invoke(t.Context(), "/no.Such/Method", &testgrpc.Empty{}, &testgrpc.Empty{}, grpc.Trailer(&trailer))
		if got := trailer.Get(gateway.OutcomeKey); status.Code(err) != codes.Unimplemented || len(got) != 1 || got[0] != "refused" {
			t.Errorf("a method that the client does not have: got %v, %q, want UNIMPLEMENTED, refused", err, got)
		}

		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if _, outcome, err := ask(t.Context(), cc); status.Code(err) != codes.Unavailable || outcome != "unknown" {
				t.Errorf("a client that is lost: got %v, %q, want UNAVAILABLE, unknown", err, outcome)
			}
		}()
		<-began
		session, _ := w.push.Session(peer.Session)
		session.Close("a test")
		<-ended
	})
}

// TestCallerGoesAway cancels the handler on the client.
func TestCallerGoesAway(t *testing.T) {
	began, cancelled := make(chan struct{}), make(chan error)
	s := &service{
		unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			began <- struct{}{}
			<-ctx.Done()
			cancelled <- ctx.Err()
			return nil, ctx.Err()
		},
		stream: func(stream testgrpc.TestService_FullDuplexCallServer) error {
			began <- struct{}{}
			<-stream.Context().Done()
			cancelled <- stream.Context().Err()
			return nil
		},
	}
	eachWay(t, s, func(t *testing.T, w *world, stub testgrpc.TestServiceClient) {
		began, cancelled = make(chan struct{}), make(chan error) // of this bubble
		for name, call := range map[string]func(context.Context, testgrpc.TestServiceClient){
			"unary": func(ctx context.Context, stub testgrpc.TestServiceClient) {
				_, _ = stub.UnaryCall(ctx, &testgrpc.SimpleRequest{})
			},
			"stream": func(ctx context.Context, stub testgrpc.TestServiceClient) { _, _ = stub.FullDuplexCall(ctx) },
		} {
			ctx, cancel := context.WithCancel(t.Context())
			go call(ctx, stub)
			<-began
			cancel()
			if err := <-cancelled; err != context.Canceled {
				t.Errorf("%s, cancelled: the handler's context ended with %v", name, err)
			}
			cc := w.caller(t, "pushtunnel-client", "c1")
			go call(t.Context(), testgrpc.NewTestServiceClient(cc))
			<-began
			cc.Close()
			if err := <-cancelled; err != context.Canceled {
				t.Errorf("%s, disconnected: the handler's context ended with %v", name, err)
			}
		}
	})
}

// TestClientSpeaksFirst has a header and a message of the client come before the
// caller has said anything, and the client end the call before the caller has.
func TestClientSpeaksFirst(t *testing.T) {
	s := &service{stream: func(stream testgrpc.TestService_FullDuplexCallServer) error {
		if err := stream.SendHeader(metadata.Pairs("h", "1")); err != nil {
			return err
		}
		<-time.After(time.Second) // of the bubble's clock
		if err := stream.Send(&testgrpc.StreamingOutputCallResponse{}); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
		return status.Error(codes.Aborted, "enough")
	}}
	eachWay(t, s, func(t *testing.T, _ *world, stub testgrpc.TestServiceClient) {
		stream, err := stub.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		if h, err := stream.Header(); err != nil || len(h.Get("h")) != 1 || time.Since(started) >= time.Second {
			t.Errorf("got the header %v, %v after %v, want it before the message", h, err, time.Since(started))
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&testgrpc.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantCode(t, err, codes.Aborted)
	})
}

// TestHalfClose tells the client that the caller has said all, while the answers are
// still to come.
func TestHalfClose(t *testing.T) {
	s := &service{stream: func(stream testgrpc.TestService_FullDuplexCallServer) error {
		n := 0
		for ; ; n++ {
			if _, err := stream.Recv(); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
		}
		for range n {
			if err := stream.Send(&testgrpc.StreamingOutputCallResponse{}); err != nil {
				return err
			}
		}
		return nil
	}}
	eachWay(t, s, func(t *testing.T, _ *world, stub testgrpc.TestServiceClient) {
		for _, pause := range []time.Duration{0, time.Second} {
			for want := range 4 {
				stream, err := stub.FullDuplexCall(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for range want {
					<-time.After(pause)
					if err := stream.Send(&testgrpc.StreamingOutputCallRequest{}); err != nil {
						t.Fatal(err)
					}
				}
				<-time.After(pause)
				if err := stream.CloseSend(); err != nil {
					t.Fatal(err)
				}
				got := 0
				for ; ; got++ {
					if _, err := stream.Recv(); err == io.EOF {
						break
					} else if err != nil {
						t.Fatal(err)
					}
				}
				if got != want {
					t.Errorf("%d messages, %v apart: got %d answers", want, pause, got)
				}
			}
		}
	})
}

// TestTooLarge has messages meet a limit in both directions.
func TestTooLarge(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cancelled := make(chan struct{}, 1)
				s := &service{
					unary: func(_ context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
						return &testgrpc.SimpleResponse{Payload: &testgrpc.Payload{Body: make([]byte, r.GetResponseSize())}}, nil
					},
					stream: func(stream testgrpc.TestService_FullDuplexCallServer) error {
						_, err := stream.Recv()
						if err == nil {
							_, err = stream.Recv()
						}
						cancelled <- struct{}{}
						return err
					},
				}
				way.setup.grpc = []grpc.ServerOption{grpc.MaxRecvMsgSize(100_000), grpc.MaxSendMsgSize(100_000)}
				w := newWorld(t, way.setup)
				w.connect(t, "c1", s.register)
				stub := testgrpc.NewTestServiceClient(w.caller(t, "pushtunnel-client", "c1"))
				_, err := stub.UnaryCall(t.Context(), &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: make([]byte, 200_000)}})
				wantCode(t, err, codes.ResourceExhausted)
				_, err = stub.UnaryCall(t.Context(), &testgrpc.SimpleRequest{ResponseSize: 200_000})
				wantCode(t, err, codes.ResourceExhausted)
				stream, err := stub.FullDuplexCall(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, size := range []int{10, 200_000} {
					if err := stream.Send(&testgrpc.StreamingOutputCallRequest{Payload: &testgrpc.Payload{Body: make([]byte, size)}}); err != nil {
						t.Fatal(err)
					}
					<-time.After(time.Second) // the call is made by then
				}
				_, err = stream.Recv()
				wantCode(t, err, codes.ResourceExhausted)
				<-cancelled
			})
		})
	}
}

// TestInterceptorsOfPushes see forwarded calls as they see all pushes, and may send a
// request again.
func TestInterceptorsOfPushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		twice := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if name, _ := server.TargetFromContext(ctx); name != "c1" {
				t.Errorf("got the target %q, want c1", name)
			}
			first, err := next(ctx, desc, cc, method, opts...)
			if err != nil {
				return nil, err
			}
			second, err := next(ctx, desc, cc, method, opts...)
			return repeated{second, first}, err
		}
		calls := 0
		s := &service{unary: func(_ context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			calls++
			return &testgrpc.SimpleResponse{Payload: r.GetPayload()}, nil
		}}
		w := newWorld(t, setup{push: []server.Option{server.WithStreamInterceptors(twice)}})
		w.connect(t, "c1", s.register)
		payload := &testgrpc.Payload{Body: make([]byte, 100_000)}
		r, err := testgrpc.NewTestServiceClient(w.caller(t, "pushtunnel-client", "c1")).UnaryCall(t.Context(), &testgrpc.SimpleRequest{Payload: payload})
		if err != nil || !proto.Equal(r.GetPayload(), payload) || calls != 2 {
			t.Errorf("got %d calls and %v, want 2, and the payload back", calls, err)
		}
	})
}

// repeated makes a call a first time, and drops its answer.
type repeated struct {
	grpc.ClientStream
	first grpc.ClientStream
}

func (r repeated) SendMsg(m any) error {
	if err := r.first.SendMsg(m); err != nil {
		return err
	}
	if err := r.first.RecvMsg(new(testgrpc.SimpleResponse)); err != nil {
		return err
	}
	return r.ClientStream.SendMsg(m)
}
