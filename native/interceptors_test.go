package native_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// events collects what interceptors and stats handlers see.
type events struct {
	mu  sync.Mutex
	all []string
}

func (e *events) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, fmt.Sprintf(format, args...))
}

func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

func (e *events) interceptor(name string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		p, _ := tunnel.PeerFromContext(ctx)
		m, _ := grpc.Method(ctx)
		e.add("%s %s %s %T of %s", name, info.FullMethod, m, req, p.Name)
		return handler(ctx, req)
	}
}

// statsEvents is a stats.Handler.
type statsEvents struct {
	events
	done chan struct{}
}

func (e *statsEvents) TagRPC(ctx context.Context, i *stats.RPCTagInfo) context.Context {
	e.add("tag %s", i.FullMethodName)
	return ctx
}

func (e *statsEvents) HandleRPC(_ context.Context, s stats.RPCStats) {
	e.add("%s", strings.TrimPrefix(fmt.Sprintf("%T", s), "*stats."))
	if _, ok := s.(*stats.End); ok {
		e.done <- struct{}{}
	}
}

func (e *statsEvents) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (e *statsEvents) HandleConn(context.Context, stats.ConnStats)                       {}

// What a user has around gRPC calls is around native ones, too.
func TestInterceptorsAndStats(t *testing.T) {
	var served, pushed events
	calling, serving := &statsEvents{done: make(chan struct{}, 10)}, &statsEvents{done: make(chan struct{}, 10)}
	w := &world{came: make(chan string, 10)}
	w.Server = server.New(server.WithStatsHandlers(calling),
		server.WithHooks(server.Hooks{Connected: func(s *server.Session) { w.came <- s.Name() }}),
		server.WithUnaryInterceptors(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			name, _ := server.TargetFromContext(ctx)
			pushed.add("%s to %s", method, name)
			return invoke(ctx, method, req, reply, cc, opts...)
		}))
	var services native.Services
	pb.RegisterEchoServiceServer(&services, &echo{})
	w.addr = w.listen(t, native.Protocol(native.WithServices(&services), native.WithPushes(&pb.UserPushApi_ServiceDesc),
		native.WithUnaryInterceptors(served.interceptor("outer"), served.interceptor("inner"))))
	e := calls(w.addr)
	dial(t, e, "c1", nil, client.WithUnaryInterceptors(served.interceptor("client")), client.WithStatsHandlers(serving))
	await(t, w.came, "client")

	if _, err := w.push(within(t), "c1", "", ""); err != nil {
		t.Fatal(err)
	}
	await(t, calling.done, "end")
	await(t, serving.done, "end")
	const receive, echoPath = "/examples.userpush.v1.UserPushApi/ClientReceive", "/examples.userpush.v1.EchoService/Echo"
	want := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	want("the push", pushed.take(), receive+" to c1")
	want("its handler", served.take(), "client "+receive+" "+receive+" *userpushpb.ClientReceiveRequest of c1")
	want("the caller's stats", calling.take(), "tag "+receive, "Begin", "OutHeader", "OutPayload", "InHeader", "InPayload", "InTrailer", "End")
	want("the handler's stats", serving.take(), "tag "+receive, "InHeader", "Begin", "InPayload", "OutHeader", "OutPayload", "OutTrailer", "End")

	if _, err := pb.NewEchoServiceClient(e).Echo(within(t), &pb.EchoRequest{}); err != nil {
		t.Fatal(err)
	}
	want("a call in the stats of the server's pushes", calling.take())
	want("a call in the stats of the client's handlers", serving.take())
	want("a call", served.take(), "outer "+echoPath+" "+echoPath+" *userpushpb.EchoRequest of c1", "inner "+echoPath+" "+echoPath+" *userpushpb.EchoRequest of c1")
}
