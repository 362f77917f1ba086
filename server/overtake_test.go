package server_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/test/bufconn"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/server"
)

// A session takes calls as soon as it is in the registry, and that is before the
// server has said hello. No call may overtake the hello: it would be the end of
// the session. Here the server is held up between the two, while it ends the
// session that the new one replaces.
func TestNoCallOvertakesTheHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := &holdUp{release: make(chan struct{})}
		push := server.New(server.WithDuplicates(server.ReplaceDuplicates))
		cc := serveWith(t, push, grpc.StatsHandler(hold))
		dialRaw(t, cc, "clientname", "c1").hello(&pb.Hello{})
		synctest.Wait()

		hold.armed.Store(true)
		r := dialRaw(t, cc, "clientname", "c1")
		r.send(&pb.Frame{Hello: &pb.Hello{Version: 1, CallWindow: 64 << 10, MaxCalls: 10, MaxMetadata: 64 << 10}})
		synctest.Wait()
		answered := make(chan error, 1)
		go func() {
			_, err := ask(t.Context(), push.Client("c1"))
			answered <- err
		}()
		synctest.Wait()
		for s := range push.Sessions("c1") {
			s.Drain("early too")
		}
		close(hold.release)

		var got []*pb.Frame
		for len(got) < 3 {
			batch, err := r.stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range batch.GetFrames() {
				if f.GetReceived() == 0 {
					got = append(got, f)
				}
			}
		}
		if got[0].GetHello() == nil || got[1].GetGoAway() == nil || got[2].GetBegin() == nil {
			t.Fatalf("got the frames %v, want a hello, a go_away and a call", got)
		}
		r.send(&pb.Frame{CallId: got[2].GetCallId(), Message: []byte{}, End: &pb.End{Status: &pb.Status{}}})
		if err := <-answered; err != nil {
			t.Errorf("got %v, want an answer", err)
		}
	})
}

// holdUp is a stats handler that, when armed, holds up the next message that the
// server sends.
type holdUp struct {
	armed   atomic.Bool
	release chan struct{}
}

func (h *holdUp) HandleRPC(_ context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); ok && h.armed.CompareAndSwap(true, false) {
		<-h.release
	}
}
func (*holdUp) HandleConn(context.Context, stats.ConnStats)                       {}
func (*holdUp) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (*holdUp) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// serveWith serves push on a gRPC server with these options, and returns a
// connection to it.
func serveWith(t *testing.T, push *server.Server, opts ...grpc.ServerOption) *grpc.ClientConn {
	t.Helper()
	g := grpc.NewServer(opts...)
	push.Register(g)
	l := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	cc, err := grpc.NewClient("passthrough:///test", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cc.Close()
		push.Close()
		g.Stop()
		<-served
	})
	return cc
}
