package metrics_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/metrics"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// listen serves native clients until the test ends.
func listen(t testing.TB, push *server.Server) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- push.Serve(l, native.Protocol(native.WithPushes(&pb.UserPushApi_ServiceDesc))) }()
	t.Cleanup(func() {
		push.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

type receiver struct {
	pb.UnimplementedUserPushApiServer
}

func (receiver) ClientReceive(context.Context, *pb.ClientReceiveRequest) (*pb.PushResult, error) {
	return &pb.PushResult{Result: "received"}, nil
}

func TestNativeClients(t *testing.T) {
	m := metrics.New()
	came, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	push := server.New(m.Option(), server.WithHooks(server.Hooks{
		Connected:    func(*server.Session) { came <- struct{}{} },
		Disconnected: func(*server.Session, error) { gone <- struct{}{} },
	}))
	start := scrape(t, m)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := client.NewDialer(native.Dialer(listen(t, push)), "c1")
	pb.RegisterUserPushApiServer(c, receiver{})
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx) }()
	await(ctx, t, came)
	before := want(t, m, start, sample{
		`sessions{namespace="",protocol="native"}`:       1,
		`connects_total{namespace="",protocol="native"}`: 1,
	})
	stub := pb.NewUserPushApiClient(push.Client("c1"))
	if _, err := stub.ClientReceive(ctx, &pb.ClientReceiveRequest{Extra: "x", Data: &pb.PushData{}}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	now := want(t, m, before, sample{
		`calls_total{code="OK",method="` + pb.UserPushApi_ClientReceive_FullMethodName + `",outcome="answered"}`: 1,
		`call_duration_seconds{method="` + pb.UserPushApi_ClientReceive_FullMethodName + `"}`:                    1,
	})
	for _, series := range []string{`received_bytes_total{namespace="",protocol="native"}`, `sent_bytes_total{namespace="",protocol="native"}`} {
		if now[series] <= before[series] {
			t.Errorf("%s: got %v after a call and %v before, want more", series, now[series], before[series])
		}
	}
	if err := c.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	await(ctx, t, gone)
	want(t, m, now, sample{
		`sessions{namespace="",protocol="native"}`:           -1,
		`disconnects_total{protocol="native",reason="left"}`: 1,
	}).wantGrown(t, now)
}

// A native client that sends more than there is room for ends with its limit.
func TestASessionThatHitsALimit(t *testing.T) {
	m := metrics.New()
	came, gone, open := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	push := server.New(m.Option(), server.WithMaxMemory(1<<16), server.WithHooks(server.Hooks{
		Connected:    func(*server.Session) { came <- struct{}{} },
		Disconnected: func(*server.Session, error) { gone <- struct{}{} },
	}))
	start := scrape(t, m)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e := native.Dialer(listen(t, push), native.WithCalls(&pb.EchoService_ServiceDesc))
	c := client.NewDialer(e, "c1", client.WithHooks(client.Hooks{
		Connected:    func(tunnel.Peer) { open <- struct{}{} },
		Disconnected: func(tunnel.Peer, error) { cancel() },
	}))
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx) }()
	await(ctx, t, came)
	await(ctx, t, open) // before that the call would have a connection of its own
	pb.NewEchoServiceClient(e).Echo(ctx, &pb.EchoRequest{Message: strings.Repeat("x", 1<<20)})
	await(t.Context(), t, gone)
	<-served
	want(t, m, start, sample{
		`connects_total{namespace="",protocol="native"}`:      1,
		`disconnects_total{protocol="native",reason="limit"}`: 1,
		`limit_hits_total{end="server",limit="memory"}`:       1,
	})
}

func await[T any](ctx context.Context, t *testing.T, c <-chan T) {
	t.Helper()
	select {
	case <-c:
	case <-ctx.Done():
		t.Fatal("it did not come")
	}
}
