package gateway_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/gateway"
)

// front is a service of the server that calls the same one of the client that its caller
// names, and adds something.
type front struct {
	testgrpc.UnimplementedTestServiceServer
	clients testgrpc.TestServiceClient
}

func (f *front) UnaryCall(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	if r.GetFillUsername() {
		return nil, errors.New("the front does not")
	}
	answer, err := f.clients.UnaryCall(metadata.AppendToOutgoingContext(ctx, "front", "yes"), r)
	if err == nil {
		answer.ServerId = "front of " + answer.GetServerId()
	}
	return answer, err
}

func (f *front) FullDuplexCall(caller testgrpc.TestService_FullDuplexCallServer) error {
	callee, err := f.clients.FullDuplexCall(caller.Context())
	if err != nil {
		return err
	}
	for {
		in, err := caller.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = callee.Send(in)
		}
		if err != nil {
			return err
		}
		out, err := callee.Recv()
		if err == nil {
			err = caller.Send(out)
		}
		if err != nil {
			return err
		}
	}
}

// newFront returns a world with a front. What the authorizer was asked about is sent to
// asked.
func newFront(t *testing.T, asked chan gateway.Request, authorize gateway.Authorizer) (w *world, seen chan metadata.MD) {
	t.Helper()
	w = newWorld(t, setup{
		authorize: func(ctx context.Context, r gateway.Request) error {
			asked <- r
			return authorize(ctx, r)
		},
		own: func(gw *gateway.Gateway, r *grpc.Server) {
			testgrpc.RegisterTestServiceServer(gw.Services(r), &front{clients: testgrpc.NewTestServiceClient(gw.Conn())})
			reflection.Register(r)
		},
	})
	seen = make(chan metadata.MD, 10)
	w.connect(t, "c1", (&service{
		unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			seen <- md
			return &testgrpc.SimpleResponse{ServerId: "c1"}, nil
		},
		stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
			for {
				in, err := s.Recv()
				if err != nil {
					return nil
				}
				if err := s.Send(&testgrpc.StreamingOutputCallResponse{Payload: in.GetPayload()}); err != nil {
					return err
				}
			}
		},
	}).register)
	return w, seen
}

// The calls of a service of Services stay at the server, and reach the client by Conn.
func TestOwnServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan gateway.Request, 100)
		w, seen := newFront(t, asked, allowAll)
		cc := w.dial(t)
		label, outcome, err := ask(t.Context(), cc, gateway.ClientKey, "c1", "tenant", "acme", "authorization", "secret")
		if err != nil || label != "front of c1" || outcome != "" {
			t.Errorf("got %q, %q, %v", label, outcome, err)
		}
		md := <-seen
		if md.Get("front") == nil || md.Get("tenant") == nil || md.Get("authorization") != nil || md.Get(gateway.ClientKey) != nil {
			t.Errorf("the client got %v, want what the caller and the front have said, and no secret", md)
		}
		if r := <-asked; r.Client != "c1" || r.Method != testgrpc.TestService_UnaryCall_FullMethodName {
			t.Errorf("the authorizer was asked about %+v", r)
		}

		_, outcome, err = ask(t.Context(), cc, gateway.ClientKey, "c2")
		wantCode(t, err, codes.Unavailable)
		if outcome != "not sent" {
			t.Errorf("got outcome %q, want that nothing was sent", outcome)
		}
		_, _, err = ask(t.Context(), cc, gateway.ClientKey, "c1", "pushtunnel-cleint", "x")
		wantCode(t, err, codes.InvalidArgument)
		_, _, err = ask(t.Context(), cc) // the front's own Conn has nobody to call
		wantCode(t, err, codes.InvalidArgument)

		ctx := metadata.AppendToOutgoingContext(t.Context(), gateway.ClientKey, "c1")
		var trailer metadata.MD
		_, err = testgrpc.NewTestServiceClient(cc).UnaryCall(ctx, &testgrpc.SimpleRequest{FillUsername: true}, grpc.Trailer(&trailer))
		wantCode(t, err, codes.Unknown)
		if got := trailer.Get(gateway.OutcomeKey); len(got) != 1 || got[0] != "answered" {
			t.Errorf("got outcome %v of an error of the front, want that it has answered", got)
		}

		stream, err := testgrpc.NewTestServiceClient(cc).FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"a", "b"} {
			stream.Send(&testgrpc.StreamingOutputCallRequest{Payload: &testgrpc.Payload{Body: []byte(text)}})
			if r, err := stream.Recv(); err != nil || string(r.GetPayload().GetBody()) != text {
				t.Errorf("got %v, %v, want %q", r, err, text)
			}
		}
		stream.CloseSend()
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want the end", err)
		}

		// Other services that the server has go to the client as ever, which has none here.
		reflect, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, err = reflect.Recv()
		wantCode(t, err, codes.Unimplemented)
	})
}

// Who may not call does not come by a service of the server either.
func TestOwnServicesAreAuthorized(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, seen := newFront(t, make(chan gateway.Request, 100), func(context.Context, gateway.Request) error { return errors.New("no") })
		for _, name := range []string{"c1", "c2"} {
			_, outcome, err := ask(t.Context(), w.dial(t), gateway.ClientKey, name)
			wantCode(t, err, codes.PermissionDenied)
			if outcome != "not sent" {
				t.Errorf("got outcome %q", outcome)
			}
		}
		stream, err := testgrpc.NewTestServiceClient(w.caller(t, gateway.ClientKey, "c1")).FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantCode(t, err, codes.PermissionDenied)
		if got := stream.Trailer().Get(gateway.OutcomeKey); len(got) != 1 || got[0] != "not sent" {
			t.Errorf("got outcome %v", got)
		}
		if len(seen) > 0 {
			t.Error("the client was called")
		}
	})
}

// Labels and waiting are those of the caller's own call.
func TestOwnServicesRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newFront(t, make(chan gateway.Request, 100), allowAll)
		_, _, err := ask(t.Context(), w.dial(t), gateway.LabelsKey, "zone=eu")
		wantCode(t, err, codes.Unavailable)
		done := make(chan string, 1)
		cc := w.dial(t)
		go func() {
			label, _, err := ask(t.Context(), cc, gateway.ClientKey, "late", gateway.WaitKey, "true")
			done <- label + " " + status.Code(err).String()
		}()
		w.connect(t, "late", answers("late"))
		if got := <-done; got != "front of late OK" {
			t.Errorf("got %q, want the answer of who came late", got)
		}
	})
}
