package admin_test

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log"
	"net"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/admin"
	"github.com/pushtunnel/pushtunnel/client"
	adminpb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// A gRPC server shows its sessions to operators, who have a token.
func ExampleRegister() {
	operatorToken := "open sesame"
	authorize := func(ctx context.Context, method string) error {
		for _, token := range metadata.ValueFromIncomingContext(ctx, "authorization") {
			if subtle.ConstantTimeCompare([]byte(token), []byte("Bearer "+operatorToken)) == 1 {
				return nil
			}
		}
		return status.Error(codes.Unauthenticated, "operators only")
	}

	push := server.New()
	g := grpc.NewServer() // with TLS: see grpc.Creds
	push.Register(g)
	admin.Register(g, push, authorize)

	s := newScene(g, push)
	defer s.close()
	s.connect("kitchen", map[string]string{"region": "eu"})
	s.connect("garage", map[string]string{"region": "us"})

	operator := adminpb.NewAdminClient(s.dial())
	_, err := operator.ListSessions(context.Background(), &adminpb.ListSessionsRequest{})
	fmt.Println(err)

	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer open sesame")
	req := &adminpb.ListSessionsRequest{Filter: &adminpb.Filter{Labels: "region=eu"}}
	for {
		page, err := operator.ListSessions(ctx, req)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, session := range page.GetSessions() {
			fmt.Println(session.GetName(), session.GetLabels(), session.GetProtocol())
		}
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}

	// Output:
	// rpc error: code = Unauthenticated desc = operators only
	// kitchen map[region:eu] grpc
}

// A watch over gRPC: what the receiver knows is whole whenever a snapshot has ended.
func Example_watchSessions() {
	push := server.New()
	g := grpc.NewServer()
	push.Register(g)
	admin.Register(g, push, func(context.Context, string) error { return nil }) // everybody: for this example only
	s := newScene(g, push)
	defer s.close()
	s.connect("kitchen", nil)

	stream, err := adminpb.NewAdminClient(s.dial()).WatchSessions(context.Background(), &adminpb.WatchSessionsRequest{})
	if err != nil {
		fmt.Println(err)
		return
	}
	known := map[string]*adminpb.Session{} // by their ids
	for range 2 {
		r, err := stream.Recv()
		if err != nil {
			fmt.Println(err) // call again: that begins with a snapshot
			return
		}
		switch event := r.GetEvent().(type) {
		case *adminpb.WatchSessionsResponse_Snapshot:
			if event.Snapshot.GetBegin() {
				clear(known)
			}
			for _, session := range event.Snapshot.GetSessions() {
				known[session.GetId()] = session
			}
		case *adminpb.WatchSessionsResponse_Came:
			known[event.Came.GetId()] = event.Came
		case *adminpb.WatchSessionsResponse_Left:
			delete(known, event.Left.GetId())
		}
		fmt.Println("revision", r.GetRevision(), "sessions", len(known))
		if r.GetSnapshot().GetEnd() {
			s.connect("garage", nil)
		}
	}

	// Output:
	// revision 1 sessions 1
	// revision 2 sessions 2
}

// The rest helps the examples.

// scene is a gRPC server that listens, and its clients.
type scene struct {
	addr  string
	stops []func() // the last one is called first
}

// newScene serves on a port of this machine.
func newScene(g *grpc.Server, push *server.Server) *scene {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = g.Serve(listener) }()
	return &scene{addr: listener.Addr().String(), stops: []func(){g.Stop, func() { _ = push.Close() }}}
}

// close stops the clients and the server.
func (s *scene) close() {
	for _, stop := range slices.Backward(s.stops) {
		stop()
	}
}

// dial returns a connection to the server.
func (s *scene) dial() *grpc.ClientConn {
	cc, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	s.stops = append(s.stops, func() { _ = cc.Close() })
	return cc
}

// connect connects a client without services.
func (s *scene) connect(name string, labels map[string]string) {
	connected, ended := make(chan struct{}), make(chan struct{})
	c := client.New(s.dial(), name, client.WithLabels(labels), client.WithHooks(client.Hooks{
		Connected: func(tunnel.Peer) { close(connected) },
	}))
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(ended)
		_ = c.Serve(ctx)
	}()
	s.stops = append(s.stops, func() {
		cancel()
		<-ended
	})
	<-connected
}
