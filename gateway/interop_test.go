package gateway_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // the compressor of these tests
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// fatal is what a fatal log line of gRPC's becomes: its interop functions end the
// process where they mean to fail a test.
type fatal string

type panicLogger struct{ grpclog.LoggerV2 }

func (panicLogger) Fatal(args ...any)                 { panic(fatal(fmt.Sprint(args...))) }
func (panicLogger) Fatalln(args ...any)               { panic(fatal(fmt.Sprintln(args...))) }
func (panicLogger) Fatalf(format string, args ...any) { panic(fatal(fmt.Sprintf(format, args...))) }

func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(panicLogger{grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)})
	os.Exit(m.Run())
}

// interopCases are gRPC's own: those of internal/conformance, which says what is
// left out and why, and DoUnimplementedMethod and DoSoakTest's kin, which take a
// *grpc.ClientConn.
var interopCases = map[string]func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption){
	"empty unary":                 interop.DoEmptyUnaryCall,
	"large unary":                 interop.DoLargeUnaryCall,
	"client streaming":            interop.DoClientStreaming,
	"server streaming":            interop.DoServerStreaming,
	"ping pong":                   interop.DoPingPong,
	"empty stream":                interop.DoEmptyStream,
	"timeout on sleeping server":  interop.DoTimeoutOnSleepingServer,
	"cancel after begin":          interop.DoCancelAfterBegin,
	"cancel after first response": interop.DoCancelAfterFirstResponse,
	"custom metadata":             interop.DoCustomMetadata,
	"status code and message":     interop.DoStatusCodeAndMessage,
	"special status message":      interop.DoSpecialStatusMessage,
	"pick first unary": func(ctx context.Context, c testgrpc.TestServiceClient, _ ...grpc.CallOption) {
		interop.DoPickFirstUnary(ctx, c)
	},
}

// interopServer is gRPC's own, with the id that DoPickFirstUnary asks for, and with a
// client stream that is not answered before its caller has cancelled it.
type interopServer struct{ testgrpc.TestServiceServer }

func (s interopServer) StreamingInputCall(stream testgrpc.TestService_StreamingInputCallServer) error {
	return s.TestServiceServer.StreamingInputCall(slowInput{stream})
}

type slowInput struct {
	testgrpc.TestService_StreamingInputCallServer
}

func (s slowInput) Recv() (*testgrpc.StreamingInputCallRequest, error) {
	in, err := s.TestService_StreamingInputCallServer.Recv()
	if err == io.EOF {
		select {
		case <-s.Context().Done():
		case <-time.After(time.Millisecond):
		}
	}
	return in, err
}

func (s interopServer) UnaryCall(ctx context.Context, in *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	out, err := s.TestServiceServer.UnaryCall(ctx, in)
	if in.GetFillServerId() && err == nil {
		out.ServerId = "the only one"
	}
	return out, err
}

func registerInterop(r grpc.ServiceRegistrar) {
	testgrpc.RegisterTestServiceServer(r, interopServer{interop.NewTestServer()})
}

// ways are the worlds in which calls are forwarded.
var ways = []struct {
	name  string
	setup setup
}{
	{name: "gRPC stream"},
	{name: "direct", setup: setup{direct: true}},
	{name: "with gRPC's own codec", setup: setup{copies: true}},
	{name: "services that the server has too", setup: setup{register: func(r grpc.ServiceRegistrar) {
		testgrpc.RegisterTestServiceServer(r, testgrpc.UnimplementedTestServiceServer{})
		testgrpc.RegisterUnimplementedServiceServer(r, testgrpc.UnimplementedUnimplementedServiceServer{})
	}}},
}

// runInterop runs f with a connection to the gateway, in each world, and reports its
// fatal end.
func runInterop(t *testing.T, f func(context.Context, *grpc.ClientConn)) {
	t.Helper()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, way.setup)
				w.connect(t, "c1", registerInterop)
				defer func() {
					if p := recover(); p != nil {
						text, ok := p.(fatal)
						if !ok {
							panic(p)
						}
						t.Errorf("got the fatal end %q, want none", text)
					}
				}()
				f(t.Context(), w.caller(t, "pushtunnel-client", "c1"))
			})
		})
	}
}

func TestInterop(t *testing.T) {
	for name, f := range interopCases {
		t.Run(name, func(t *testing.T) {
			runInterop(t, func(ctx context.Context, cc *grpc.ClientConn) {
				f(ctx, testgrpc.NewTestServiceClient(cc))
			})
		})
	}
}

// TestInteropCompressed runs them with every message of the caller compressed.
func TestInteropCompressed(t *testing.T) {
	for name, f := range interopCases {
		t.Run(name, func(t *testing.T) {
			runInterop(t, func(ctx context.Context, cc *grpc.ClientConn) {
				f(ctx, testgrpc.NewTestServiceClient(cc), grpc.UseCompressor("gzip"))
			})
		})
	}
}

func TestInteropUnimplemented(t *testing.T) {
	runInterop(t, func(ctx context.Context, cc *grpc.ClientConn) {
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(cc))
		err := cc.Invoke(ctx, "/grpc.testing.TestService/UnimplementedCall", &testgrpc.Empty{}, &testgrpc.Empty{})
		if got, want := status.Code(err), codes.Unimplemented; got != want {
			t.Errorf("an unimplemented method: got %v, want %v", err, want)
		}
	})
}
