package conformance

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // the compressor of these tests
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// interopCases are gRPC's own: all functions of package interop that take a
// TestServiceClient and nothing else. Not among them are those that need the
// outside or the inside of a channel:
//
//   - DoComputeEngineCreds, DoServiceAccountCreds, DoJWTTokenCreds,
//     DoOauth2TokenCreds, DoPerRPCCreds, DoGoogleDefaultCredentials and
//     DoComputeEngineChannelCredentials ask Google for credentials;
//   - DoORCAPerRPCTest and DoORCAOOBTest read what a load balancing policy of the
//     test's own has put aside;
//   - DoSoakTest and DoUnimplementedMethod take a *grpc.ClientConn. The latter has
//     a test of its own here.
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

// interopServer is gRPC's own, with the id that DoPickFirstUnary asks for, and
// with a client stream that is not answered before its caller has cancelled it.
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

// runInterop runs f over a connection of each way, and reports its fatal end.
func runInterop(t *testing.T, register func(grpc.ServiceRegistrar), f func(context.Context, grpc.ClientConnInterface)) {
	t.Helper()
	for _, w := range allWays {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cc := w.connect(t, setup{}, register)
				defer func() {
					if p := recover(); p != nil {
						text, ok := p.(fatal)
						if !ok {
							panic(p)
						}
						t.Errorf("got the fatal end %q, want none", text)
					}
				}()
				f(t.Context(), cc)
			})
		})
	}
}

func TestInterop(t *testing.T) {
	for name, f := range interopCases {
		t.Run(name, func(t *testing.T) {
			runInterop(t, registerInterop, func(ctx context.Context, cc grpc.ClientConnInterface) {
				f(ctx, testgrpc.NewTestServiceClient(cc))
			})
		})
	}
}

// TestInteropCompressed runs them with every message compressed.
func TestInteropCompressed(t *testing.T) {
	for name, f := range interopCases {
		t.Run(name, func(t *testing.T) {
			runInterop(t, registerInterop, func(ctx context.Context, cc grpc.ClientConnInterface) {
				f(ctx, testgrpc.NewTestServiceClient(cc), grpc.UseCompressor("gzip"))
			})
		})
	}
}

func TestInteropUnimplementedService(t *testing.T) {
	runInterop(t, registerInterop, func(ctx context.Context, cc grpc.ClientConnInterface) {
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(cc))
	})
}

// TestInteropUnimplementedMethod does what interop.DoUnimplementedMethod does,
// which takes nothing but a *grpc.ClientConn.
func TestInteropUnimplementedMethod(t *testing.T) {
	runInterop(t, registerInterop, func(ctx context.Context, cc grpc.ClientConnInterface) {
		err := cc.Invoke(ctx, "/grpc.testing.TestService/UnimplementedCall", nil, nil)
		if got, want := status.Code(err), codes.Unimplemented; got != want {
			t.Errorf("an unimplemented method: got %v, want %v", err, want)
		}
	})
}
