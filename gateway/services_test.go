package gateway_test

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
)

// TestServicesOfTheServer calls gRPC's own interop service at the server itself, which
// is a gateway, too.
func TestServicesOfTheServer(t *testing.T) {
	for name, opts := range map[string][]grpc.CallOption{"plain": nil, "compressed": {grpc.UseCompressor("gzip")}} {
		for caseName, f := range interopCases {
			t.Run(name+"/"+caseName, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, setup{register: registerInterop})
					f(t.Context(), testgrpc.NewTestServiceClient(w.dial(t)), opts...)
				})
			})
		}
	}
}

// TestHealth asks a client how it is, by a service that the server has, too.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, setup{register: func(r grpc.ServiceRegistrar) { healthpb.RegisterHealthServer(r, health.NewServer()) }})
		h := health.NewServer()
		h.SetServingStatus("oven", healthpb.HealthCheckResponse_NOT_SERVING)
		w.connect(t, "c1", func(r grpc.ServiceRegistrar) { healthpb.RegisterHealthServer(r, h) })
		oven := &healthpb.HealthCheckRequest{Service: "oven"}

		_, err := healthpb.NewHealthClient(w.dial(t)).Check(t.Context(), oven)
		wantCode(t, err, codes.NotFound) // at the server

		c1 := healthpb.NewHealthClient(w.caller(t, "pushtunnel-client", "c1"))
		if r, err := c1.Check(t.Context(), oven); err != nil || r.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
			t.Errorf("got %v, %v, want the client's health", r, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		watch, err := c1.Watch(ctx, oven)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_NOT_SERVING, healthpb.HealthCheckResponse_SERVING} {
			if r, err := watch.Recv(); err != nil || r.GetStatus() != want {
				t.Errorf("watching: got %v, %v, want %v", r, err, want)
			}
			h.SetServingStatus("oven", healthpb.HealthCheckResponse_SERVING)
		}
	})
}

// jsonCodec is a codec that gRPC does not have.
type jsonCodec struct{}

func (jsonCodec) Name() string                       { return "gateway-test-json" }
func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// TestAnotherCodec forwards messages that are no protobuf.
func TestAnotherCodec(t *testing.T) {
	encoding.RegisterCodec(jsonCodec{})
	type message struct{ Text string }
	echo := grpc.ServiceDesc{ServiceName: "test.Echo", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			m := new(message)
			err := decode(m)
			return m, err
		},
	}}}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, setup{})
		w.connect(t, "c1", func(r grpc.ServiceRegistrar) { r.RegisterService(&echo, 0) })
		var reply message
		err := w.caller(t, "pushtunnel-client", "c1").Invoke(t.Context(), "/test.Echo/Echo", message{"hello"}, &reply, grpc.CallContentSubtype("gateway-test-json"))
		if err != nil || reply.Text != "hello" {
			t.Errorf("got %q, %v, want the text back", reply.Text, err)
		}
	})
}

// receiver is a client of the native protocol.
type receiver struct {
	userpushpb.UnimplementedUserPushApiServer
}

func (receiver) ClientReceive(_ context.Context, r *userpushpb.ClientReceiveRequest) (*userpushpb.PushResult, error) {
	return &userpushpb.PushResult{Result: r.GetExtra() + " " + r.GetData().GetData()}, nil
}

// TestNative calls a client without gRPC: its links take one request, and answer once.
func TestNative(t *testing.T) {
	w := newWorld(t, setup{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		served <- w.push.Serve(l, native.Protocol(native.WithPushes(&userpushpb.UserPushApi_ServiceDesc)))
	}()
	t.Cleanup(func() {
		w.push.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	c := client.NewDialer(native.Dialer(l.Addr().String()), "n1")
	userpushpb.RegisterUserPushApiServer(c, receiver{})
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = c.Serve(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-stopped
	})
	cc := w.caller(t, "pushtunnel-client", "n1", "pushtunnel-wait-for-ready", "true")
	in := &userpushpb.ClientReceiveRequest{Extra: "hello", Data: &userpushpb.PushData{Data: "world"}}
	for range 20 {
		out, err := userpushpb.NewUserPushApiClient(cc).ClientReceive(t.Context(), in)
		if err != nil || out.GetResult() != "hello world" {
			t.Fatalf("got %v, %v", out, err)
		}
	}
	_, outcome, err := ask(t.Context(), cc)
	if status.Code(err) != codes.Unimplemented || outcome != "not sent" {
		t.Errorf("a method without a Java form: got %v, %q, want UNIMPLEMENTED, not sent", err, outcome)
	}

	// As a stream, slowly: the request comes when the call has been made.
	stream, err := cc.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, userpushpb.UserPushApi_ClientReceive_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	if w.inFlight("n1") {
		t.Fatal("a call without a request is under way")
	}
	if err := stream.SendMsg(in); err != nil {
		t.Fatal(err)
	}
	out := new(userpushpb.PushResult)
	if err := stream.RecvMsg(out); err != nil || out.GetResult() != "hello world" {
		t.Fatalf("as a stream: got %v, %v", out, err)
	}
}

// inFlight reports whether a client is called.
func (w *world) inFlight(name string) bool {
	for s := range w.push.Sessions(name) {
		if s.InFlight() > 0 {
			return true
		}
	}
	return false
}
