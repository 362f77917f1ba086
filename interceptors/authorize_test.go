package interceptors_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// alice may push everything to c1, and nobody else may push anything.
func alice(ctx context.Context, target *tunnel.Target, _ string) error {
	md, _ := metadata.FromIncomingContext(ctx)
	switch who := md.Get("user"); {
	case len(who) == 0:
		return status.Error(codes.Unauthenticated, "who are you?")
	case who[0] == "alice" && target.Name == "c1":
		return nil
	}
	return errors.New("it is not yours")
}

func TestAuthorize(t *testing.T) {
	inBubble(t, func(t *testing.T, way string) {
		w := newWorld(t, callers(interceptors.Authorize(alice)))
		calls := 0
		s := &service{receive: func(context.Context, *pb.ClientReceiveRequest) (*pb.PushResult, error) {
			calls++
			return &pb.PushResult{}, nil
		}}
		w.connect(t, way, "c1", s, nil)
		w.connect(t, way, "c2", s, nil)
		as := func(who string) context.Context {
			return metadata.NewIncomingContext(t.Context(), metadata.Pairs("user", who))
		}
		_, err := receive(as("alice"), w.Client("c2"), "")
		wantError(t, err, codes.PermissionDenied, tunnel.OutcomeNotSent)
		wantSame(t, "the text", status.Convert(err).Message(), "pushtunnel: "+receiveMethod+` may not be called at client "c2": it is not yours`)
		_, err = receive(as("alice"), w.Namespace("n").Client("c2"), "")
		wantSame(t, "the text", status.Convert(err).Message(), "pushtunnel: "+receiveMethod+` may not be called at client "c2" of namespace "n": it is not yours`)
		_, err = receive(as("mallory"), w.Client("c1"), "")
		wantError(t, err, codes.PermissionDenied, tunnel.OutcomeNotSent)
		_, err = receive(t.Context(), w.Client("c1"), "")
		wantError(t, err, codes.Unauthenticated, tunnel.OutcomeNotSent)
		wantSame(t, "calls", calls, 0)
		for session := range w.Sessions("c2") {
			_, err = receive(as("alice"), session, "")
			wantError(t, err, codes.PermissionDenied, tunnel.OutcomeNotSent)
		}
		if _, err := receive(as("alice"), w.Client("c1"), ""); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "calls", calls, 1)
	})
}

func TestAuthorizeStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, callers(interceptors.Authorize(interceptors.AllowMethods("/grpc.testing.TestService/"))))
		w.connect(t, "grpc", "c1", &service{duplex: func(testgrpc.TestService_FullDuplexCallServer) error { return status.Error(codes.NotFound, "ran") }}, nil)
		stub := testgrpc.NewTestServiceClient(w.Client("c1"))
		s, err := stub.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Recv()
		wantError(t, err, codes.NotFound, tunnel.OutcomeAnswered)
		_, err = w.Client("c1").NewStream(t.Context(), &grpc.StreamDesc{}, "/grpc.testing.Other/FullDuplexCall")
		wantError(t, err, codes.PermissionDenied, tunnel.OutcomeNotSent)
	})
}

// Used on a connection that is no tunnel's, it lets nothing through.
func TestAuthorizeOutsideATunnel(t *testing.T) {
	everything := func(context.Context, *tunnel.Target, string) error { return nil }
	err := interceptors.Authorize(everything).Unary(t.Context(), receiveMethod, nil, nil, nil,
		func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error { return nil })
	wantError(t, err, codes.PermissionDenied, tunnel.OutcomeNotSent)
}

func TestAllowMethods(t *testing.T) {
	allow := interceptors.AllowMethods("/a.Service/Method", "/b.Service/")
	for method, want := range map[string]bool{
		"/a.Service/Method": true, "/a.Service/Other": false, "/a.Service/Method2": false, "/a.Service/": false,
		"/b.Service/Any": true, "/b.Service2/Any": false, "/b.Servic/e": false, "b.Service/Any": false, "": false, "/": false,
	} {
		if got := allow(t.Context(), &tunnel.Target{}, method) == nil; got != want {
			t.Errorf("%q: got %v, want %v", method, got, want)
		}
	}
}
