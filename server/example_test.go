package server_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// A gRPC server gets pushes, and calls a client through the stub that protoc
// generated. Shutdown goes before GracefulStop, which waits for tunnels for ever.
func Example() {
	ctx := context.Background()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	_, stop := startDisplay(listener.Addr().String(), "kitchen", "the display in the kitchen")

	push := server.New()
	g := grpc.NewServer(server.RecommendedOptions()...) // or the gRPC server that you have
	push.Register(g)
	go func() { _ = g.Serve(listener) }()

	kitchen := pb.NewNotifierClient(push.Client("kitchen")) // your generated stub
	msg := &pb.NotifyRequest{Text: "Dinner is ready"}
	answer, err := kitchen.Notify(ctx, msg, grpc.WaitForReady(true)) // waits until it connects
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("shown by", answer.GetDisplay())

	if err := push.Shutdown(ctx); err != nil { // parts from the clients without losing a call
		log.Print(err)
	}
	g.GracefulStop()

	stop()
	// Output: shown by the display in the kitchen
}

// A client says who it is. The identity function decides whether to believe it, and
// what the client may be called. A client that is refused stops.
func ExampleWithIdentity() {
	verify := func(_ context.Context, token string) (server.Identity, error) {
		if token != "open sesame" {
			return server.Identity{}, errors.New("the token is unknown")
		}
		return server.Identity{Name: "kitchen", Subject: "house 7", Labels: map[string]string{"floor": "1"}}, nil
	}
	push := server.New(server.WithIdentity(server.TokenIdentity(verify)))
	s := newScene(push) // push.Register(grpc.NewServer(...))
	defer s.close()
	token := func(t string) client.Option { return client.WithMetadata(metadata.Pairs("authorization", "Bearer "+t)) }

	err := <-s.start("kitchen", "somebody", token("guess"))
	fmt.Println(err, client.Permanent(err))
	err = <-s.start("cellar", "somebody", token("open sesame"))
	fmt.Println(err)

	s.start("kitchen", "the display", token("open sesame"))
	answer, err := pb.NewNotifierClient(push.Client("kitchen")).Notify(context.Background(), &pb.NotifyRequest{}, grpc.WaitForReady(true))
	fmt.Println(answer.GetDisplay(), err)

	// Output:
	// rpc error: code = Unauthenticated desc = pushtunnel: the client's token is refused: the token is unknown true
	// rpc error: code = PermissionDenied desc = pushtunnel: the client may be called "kitchen", not "cellar"
	// the display <nil>
}

// Clients are chosen by their labels, and the first of them that answers will do.
func ExampleFirst() {
	push := server.New() // without an identity function clients have the labels that they claim
	s := newScene(push)
	defer s.close()
	s.connect("kitchen", "kitchen", client.WithLabels(map[string]string{"floor": "1"}))
	s.connect("hall", "hall", client.WithLabels(map[string]string{"floor": "1"}))
	s.connect("attic", "attic", client.WithLabels(map[string]string{"floor": "3"}))

	call := func(ctx context.Context, s *server.Session) (string, error) {
		answer, err := pb.NewNotifierClient(s).Notify(ctx, &pb.NotifyRequest{Text: "Anybody there?"})
		return answer.GetDisplay(), err
	}
	ctx := context.Background()
	upstairs := server.Select(server.MustSelector("floor!=1"), push.Sessions())
	first, err := server.First(ctx, upstairs, call)
	fmt.Println(first.Value, err)

	all, err := server.All(ctx, server.Select(server.MustSelector("floor in (1, 2)"), push.Sessions()), call)
	fmt.Println(len(all), err)

	_, err = server.Quorum(ctx, push.Sessions("nobody"), call)
	fmt.Println(err)

	// Output:
	// attic <nil>
	// 2 <nil>
	// pushtunnel: 0 of 0 sessions have answered, 1 were wanted
}

// A call to a name that is not connected fails at once, and was not sent. With
// WaitForReady it waits for the client, until its context ends.
func ExampleServer_Client() {
	push := server.New()
	s := newScene(push)
	defer s.close()
	ctx := context.Background()
	garage := pb.NewNotifierClient(push.Client("garage")) // bound at the time of each call

	_, err := garage.Notify(ctx, &pb.NotifyRequest{})
	fmt.Println(status.Code(err), tunnel.NotSent(err), status.Convert(err).Message())

	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err = garage.Notify(short, &pb.NotifyRequest{}, grpc.WaitForReady(true))
	fmt.Println(status.Code(err), tunnel.NotSent(err))

	s.start("garage", "garage")
	answer, err := garage.Notify(ctx, &pb.NotifyRequest{}, grpc.WaitForReady(true))
	fmt.Println(answer.GetDisplay(), err)

	// Output:
	// Unavailable true pushtunnel: client "garage" is not connected
	// DeadlineExceeded true
	// garage <nil>
}

// A fan-out calls many sessions at a time and yields each result as it comes. It
// ends when the last has come. Here each call has a second at most.
func ExampleFanout() {
	push := server.New()
	s := newScene(push)
	defer s.close()
	s.connect("kitchen", "kitchen")
	s.connect("hall", "hall-1")
	s.connect("hall", "hall-2")

	call := func(ctx context.Context, s *server.Session) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		answer, err := pb.NewNotifierClient(s).Notify(ctx, &pb.NotifyRequest{Text: "Fire!"})
		return answer.GetDisplay(), err
	}
	for session, r := range server.Fanout(context.Background(), push.Sessions(), call) {
		if r.Err != nil {
			fmt.Printf("%s: %v\n", session.Name(), r.Err)
			continue
		}
		fmt.Printf("%s: shown by %s\n", session.Name(), r.Value)
	}

	// Unordered output:
	// kitchen: shown by kitchen
	// hall: shown by hall-1
	// hall: shown by hall-2
}

// A picker chooses the session of each call. The built-in ones are RoundRobin,
// LeastInFlight, Newest, Sticky and StickyBy.
func ExampleWithPicker() {
	push := server.New(server.WithPicker(server.Sticky("user")))
	s := newScene(push)
	defer s.close()
	s.connect("hall", "hall-1")
	s.connect("hall", "hall-2")
	hall := pb.NewNotifierClient(push.Client("hall"))

	// All calls for one user go to the same session while it is there.
	ctx := metadata.AppendToOutgoingContext(context.Background(), "user", "alice")
	seen := map[string]bool{}
	for range 10 {
		answer, err := hall.Notify(ctx, &pb.NotifyRequest{})
		if err != nil {
			fmt.Println(err)
			return
		}
		seen[answer.GetDisplay()] = true
	}
	fmt.Println("sessions that alice's calls went to:", len(seen))

	// Output: sessions that alice's calls went to: 1
}

// A picker of your own is a function. This one prefers sessions that have proved
// fast.
func ExamplePicker() {
	fastest := func(p server.Pick) *server.Session {
		best := server.LeastInFlight(p)
		for _, s := range p.Sessions {
			if rtt := s.RoundTrip(); rtt > 0 && rtt < best.RoundTrip() {
				best = s
			}
		}
		return best
	}
	push := server.New(server.WithPicker(fastest))
	s := newScene(push)
	defer s.close()
	s.connect("hall", "hall-1")

	answer, err := pb.NewNotifierClient(push.Client("hall")).Notify(context.Background(), &pb.NotifyRequest{})
	fmt.Println(answer.GetDisplay(), err)

	// Output: hall-1 <nil>
}

// By default any number of clients may share a name. Here the second is refused
// and does not try again. A client that comes back is never refused for the
// session that it had.
func ExampleWithDuplicates() {
	push := server.New(server.WithDuplicates(server.RefuseDuplicates))
	s := newScene(push)
	defer s.close()

	s.connect("kitchen", "the first")
	err := <-s.start("kitchen", "the second")
	fmt.Println(status.Code(err), client.Permanent(err))

	// Output: AlreadyExists true
}

// Hooks tell of clients that come and go. They may call the client.
func ExampleWithHooks() {
	came, gone := make(chan string, 1), make(chan string, 1)
	push := server.New(server.WithHooks(server.Hooks{
		Connected: func(s *server.Session) {
			answer, err := pb.NewNotifierClient(s).Notify(context.Background(), &pb.NotifyRequest{Text: "Welcome"})
			came <- fmt.Sprint(s.Name(), ": ", answer.GetDisplay(), ", ", err)
		},
		Disconnected: func(s *server.Session, reason error) {
			gone <- fmt.Sprint(s.Name(), ": ", reason) // nil: it ended in order
		},
	}))
	s := newScene(push)
	defer s.close()

	kitchen, done := newDisplay(s.addr, "kitchen", "display 7")
	defer done()
	go func() { _ = kitchen.Serve(context.Background()) }()
	fmt.Println("connected:", <-came)
	if err := kitchen.Shutdown(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("disconnected:", <-gone)

	// Output:
	// connected: kitchen: display 7, <nil>
	// disconnected: kitchen: <nil>
}

// Interceptors see the calls to clients. They are ordinary gRPC client
// interceptors. This one notes whom a call is for.
func ExampleWithUnaryInterceptors() {
	note := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		name, _ := server.TargetFromContext(ctx)
		err := invoke(ctx, method, req, reply, cc, opts...) // cc is nil: only pass it on
		fmt.Println(name, method, status.Code(err))
		return err
	}
	push := server.New(server.WithUnaryInterceptors(note))
	s := newScene(push)
	defer s.close()
	s.connect("kitchen", "kitchen")

	for _, name := range []string{"kitchen", "garage"} {
		_, _ = pb.NewNotifierClient(push.Client(name)).Notify(context.Background(), &pb.NotifyRequest{})
	}

	// Output:
	// kitchen /examples.notifier.v1.Notifier/Notify OK
	// garage /examples.notifier.v1.Notifier/Notify Unavailable
}

// The rest helps the examples.

// scene is a server that listens, and its clients.
type scene struct {
	addr  string
	stops []func()
}

// newScene lets clients reach push over TCP.
func newScene(push *server.Server, opts ...grpc.ServerOption) *scene {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	g := grpc.NewServer(opts...)
	push.Register(g)
	go func() { _ = g.Serve(listener) }()
	stop := func() {
		_ = push.Close()
		g.Stop()
	}
	return &scene{addr: listener.Addr().String(), stops: []func(){stop}}
}

// close stops the clients and the server.
func (s *scene) close() {
	for _, stop := range s.stops[1:] {
		stop()
	}
	s.stops[0]()
}

// start starts a client. What its Serve returns can be received.
func (s *scene) start(name, label string, opts ...client.Option) (served <-chan error) {
	served, stop := startDisplay(s.addr, name, label, opts...)
	s.stops = append(s.stops, stop)
	return served
}

// connect starts a client and returns when it is connected.
func (s *scene) connect(name, label string, opts ...client.Option) {
	connected := make(chan struct{})
	served := s.start(name, label, append(opts, client.WithHooks(client.Hooks{
		Connected: func(tunnel.Peer) { close(connected) },
	}))...)
	select {
	case <-connected:
	case err := <-served:
		log.Fatal(err)
	}
}

// startDisplay starts a client whose Notify answers with a label.
func startDisplay(addr, name, label string, opts ...client.Option) (served <-chan error, stop func()) {
	c, done := newDisplay(addr, name, label, opts...)
	ctx, cancel := context.WithCancel(context.Background())
	result, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		result <- c.Serve(ctx)
	}()
	return result, func() {
		cancel()
		<-ended
		done()
	}
}

// newDisplay returns a client whose Notify answers with a label.
func newDisplay(addr, name, label string, opts ...client.Option) (c *client.Client, done func()) {
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	c = client.New(cc, name, opts...)
	pb.RegisterNotifierServer(c, labelled{label: label})
	return c, func() { _ = cc.Close() }
}

type labelled struct {
	pb.UnimplementedNotifierServer
	label string
}

func (n labelled) Notify(context.Context, *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	return &pb.NotifyResponse{Display: n.label}, nil
}
