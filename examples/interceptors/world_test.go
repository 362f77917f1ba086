package main

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// way is how a push goes: what its method is, and what carries it.
type way struct {
	name   string
	native bool
	method string
	// push makes one, and returns its end.
	push func(ctx context.Context, cc grpc.ClientConnInterface, text string) error
}

var ways = []way{
	{"unary", false, pb.Notifier_Notify_FullMethodName, notify},
	{"stream", false, pb.Notifier_Install_FullMethodName, install},
	{"native", true, pb.Notifier_Notify_FullMethodName, notify},
}

func notify(ctx context.Context, cc grpc.ClientConnInterface, text string) error {
	_, err := pb.NewNotifierClient(cc).Notify(ctx, &pb.NotifyRequest{Text: text})
	return err
}

func install(ctx context.Context, cc grpc.ClientConnInterface, text string) error {
	s, err := pb.NewNotifierClient(cc).Install(ctx, &pb.InstallRequest{Version: text})
	if err != nil {
		return err
	}
	for {
		if _, err := s.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// code is the status that a caller gets when the other end has failed with want: the
// native protocol has no errors, so that there it waits in vain.
func (w way) code(want codes.Code) codes.Code {
	if w.native {
		return codes.DeadlineExceeded
	}
	return want
}

// impl is what a client serves: the text of a push is all that counts.
type impl struct {
	pb.UnimplementedNotifierServer
	handle func(ctx context.Context, text string) error
}

func (i *impl) Notify(ctx context.Context, r *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	return &pb.NotifyResponse{}, i.handle(ctx, r.GetText())
}

func (i *impl) Install(r *pb.InstallRequest, s pb.Notifier_InstallServer) error {
	if err := i.handle(s.Context(), r.GetVersion()); err != nil {
		return err
	}
	return s.Send(&pb.InstallResponse{Percent: 100})
}

// each runs a test for each way, with these interceptors around pushes.
func each(t *testing.T, calling interceptors.Caller, serving interceptors.Handler, handle func(ctx context.Context, text string) error, test func(t *testing.T, w way, cc grpc.ClientConnInterface)) {
	t.Helper()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				push := start(t, w, calling, serving, &pb.Notifier_ServiceDesc, &impl{handle: handle})
				test(t, w, push.Client("c1"))
			})
		})
	}
}

// start starts a server and a client that serves this.
func start(t *testing.T, w way, calling interceptors.Caller, serving interceptors.Handler, desc *grpc.ServiceDesc, impl any) *tunneltest.Server {
	t.Helper()
	unary, stream := interceptors.Callers(calling)
	push := tunneltest.NewServer(t, server.WithUnaryInterceptors(unary...), server.WithStreamInterceptors(stream...))
	unaryIn, streamIn := interceptors.Handlers(serving)
	opts := []client.Option{client.WithUnaryInterceptors(unaryIn...), client.WithStreamInterceptors(streamIn...)}
	register := func(r grpc.ServiceRegistrar) { r.RegisterService(desc, impl) }
	if !w.native {
		push.Connect(t, "c1", register, opts...)
		return push
	}
	l := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- push.Serve(l, native.Protocol(native.WithPushes(desc))) }()
	endpoint := native.Dialer("in memory", native.WithDialFunc(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	connected := make(chan struct{}, 1)
	c := client.NewDialer(endpoint, "c1", append(opts, client.WithHooks(client.Hooks{Connected: func(tunnel.Peer) { connected <- struct{}{} }}))...)
	register(c)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- c.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; !errors.Is(err, context.Canceled) {
			t.Errorf("the client: %v", err)
		}
		endpoint.Close()
		push.Close()
		if err := <-served; err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	<-connected
	synctest.Wait()
	return push
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	return ctx
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
}

// nothing is a handler that does nothing.
func nothing(context.Context, string) error { return nil }
