package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/faultnet"
	"github.com/pushtunnel/pushtunnel/native"
	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// port is a gRPC server on a network with faults.
type port struct {
	*server.Server
	grpc   *grpc.Server
	net    *faultnet.Network
	served chan error
}

// listen starts a gRPC server with pushes; wrap is what its listener becomes, nil
// for itself.
func listen(t *testing.T, wrap func(net.Listener) net.Listener, opts ...server.Option) *port {
	t.Helper()
	return listenAt(t, server.Port{}, wrap, opts...)
}

// listenAt is listen for a port that takes more.
func listenAt(t *testing.T, at server.Port, wrap func(net.Listener) net.Listener, opts ...server.Option) *port {
	t.Helper()
	return (&port{Server: server.New(opts...)}).listen(t, at, wrap)
}

func (p *port) listen(t *testing.T, at server.Port, wrap func(net.Listener) net.Listener) *port {
	t.Helper()
	p.net, p.served = faultnet.New(faultnet.Config{}), make(chan error, 1)
	p.grpc = grpc.NewServer(p.OnePort(at))
	p.Register(p.grpc)
	l := p.net.Listener()
	if wrap != nil {
		l = wrap(l)
	}
	go func() { p.served <- p.grpc.Serve(l) }()
	t.Cleanup(func() {
		p.Close()
		p.grpc.Stop()
		<-p.served
		p.net.Cut()
	})
	return p
}

func (p *port) dial(ctx context.Context) (net.Conn, error) { return p.net.DialContext(ctx, "") }

// connection returns a gRPC connection to the port.
func (p *port) connection(t *testing.T) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///port", grpc.WithContextDialer(p.net.DialContext),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// run makes a client serve over the direct transport until the test ends.
func (p *port) run(t *testing.T, name string, opts ...client.Option) *running {
	t.Helper()
	return run(t, p.connection(t), name, answers(name), append(opts, client.WithDirectDialer(p.dial))...)
}

// speak opens a connection and says something on it.
func (p *port) speak(t *testing.T, words []byte) net.Conn {
	t.Helper()
	conn, err := p.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(words); err != nil {
		t.Fatal(err)
	}
	return conn
}

// directOpening is a preface and a frame of metadata.
func directOpening(t *testing.T, pairs ...string) []byte {
	t.Helper()
	header := &pb.Metadata{}
	for i := 0; i < len(pairs); i += 2 {
		header.Pairs = append(header.Pairs, &pb.Pair{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return append([]byte(tunnel.DirectPreface), frames(t, &pb.Frame{Header: header})...)
}

func frames(t *testing.T, frames ...*pb.Frame) []byte {
	t.Helper()
	b, err := proto.Marshal(&pb.Batch{Frames: frames})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// said reads until the server closes the connection, and returns its last word.
func said(t *testing.T, conn net.Conn) *pb.Status {
	t.Helper()
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	b, ok := strings.CutPrefix(string(all), tunnel.DirectPreface)
	if !ok {
		t.Fatalf("got %q, want what begins with the preface", all)
	}
	batch := &pb.Batch{}
	if err := proto.Unmarshal([]byte(b), batch); err != nil {
		t.Fatal(err)
	}
	if len(batch.GetFrames()) == 0 {
		return nil
	}
	return batch.GetFrames()[len(batch.GetFrames())-1].GetClose()
}

var direct = pb.Hello{Version: 1, CallWindow: 64 << 10, MaxCalls: 100, MaxMetadata: 64 << 10}

// lateReset is a listener whose connections have their deadlines reset by somebody
// else at any time: grpc-go does that when it has handed them over.
type lateReset struct {
	net.Listener
	conns chan net.Conn
}

func (l lateReset) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.conns <- conn
	}
	return conn, err
}

// Who stops in the middle is cut off, and costs nothing from then on.
func TestADirectHandshakeTakesOnlySoLong(t *testing.T) {
	whole := directOpening(t, "clientname", "c1")
	for why, test := range map[string]struct {
		words []byte
		told  codes.Code // OK: it is told nothing
	}{
		"after the first byte":         {words: whole[:1]},
		"in the middle of the preface": {words: whole[:4]},
		"after the preface":            {words: whole[:len(tunnel.DirectPreface)]},
		"in the middle of a frame":     {words: whole[:len(whole)-1]},
		"before its hello":             {words: whole, told: codes.DeadlineExceeded},
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conns := make(chan net.Conn, 1)
				p := listen(t, func(l net.Listener) net.Listener { return lateReset{l, conns} }, server.WithHandshakeTimeout(3*time.Second))
				synctest.Wait()
				began := time.Now()
				conn := p.speak(t, test.words)
				synctest.Wait()
				(<-conns).SetDeadline(time.Time{}) //nolint:errcheck // it is open
				if test.told == codes.OK {
					if answer, err := io.ReadAll(conn); len(answer) > 0 || err != nil {
						t.Errorf("got %q, %v, want a connection that is closed without a word", answer, err)
					}
				} else if st := said(t, conn); st.GetCode() != uint32(test.told) {
					t.Errorf("got the last word %v, want %v", st, test.told)
				}
				// Who has been told has a second to close its end.
				if got := time.Since(began); got != 3*time.Second && (test.told == codes.OK || got != 4*time.Second) {
					t.Errorf("got an end after %v, want it after 3s", got)
				}
				synctest.Wait()
				if stacks := directStacks(); stacks != "" {
					t.Errorf("goroutines are left:\n%s", stacks)
				}
				if names, ids, _ := p.RegistrySize(); names+ids != 0 {
					t.Errorf("got %d names and %d sessions, want none", names, ids)
				}
			})
		})
	}
}

// directStacks returns the stacks of the goroutines that serve or read direct
// connections, in the process: no other test runs meanwhile. The number of all
// goroutines would not do: those of the bubble before may be about to end.
func directStacks() (left string) {
	all := make([]byte, 1<<20)
	for one := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if strings.Contains(one, ".serveDirect(") || strings.Contains(one, ".(*direct).") || strings.Contains(one, ".(*Session).read(") {
			left += one + "\n\n"
		}
	}
	return left
}

// What is not of the direct transport gets to gRPC, and what is, does not.
func TestBothTransportsShareThePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := listen(t, nil)
		a := p.run(t, "direct")
		b := run(t, p.connection(t), "grpc", answers("grpc"))
		for name, r := range map[string]*running{"direct": a, "grpc": b} {
			if got := <-r.connected; got.Protocol != name || got.Addr == nil {
				t.Errorf("%s: got a session over %q with %v", name, got.Protocol, got.Addr)
			}
			wantAnswer(t, p.Client(name), name)
			for s := range p.Sessions(name) {
				if got := s.Peer().Protocol; got != name {
					t.Errorf("%s: got a session over %q", name, got)
				}
			}
		}
	})
}

// A client that is refused is told why: it stops, or comes back, as on a gRPC
// stream. The race detector sees to it that only one reads the connection.
func TestADirectClientIsRefused(t *testing.T) {
	refuse := func(code codes.Code) server.Option {
		return server.WithConnectInterceptors(func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
			return statusOf(code)
		})
	}
	hello := frames(t, &pb.Frame{Hello: &direct})
	for why, test := range map[string]struct {
		opts  []server.Option
		pairs []string
		hello []byte
		want  codes.Code
	}{
		"by an interceptor":                   {[]server.Option{refuse(codes.PermissionDenied)}, []string{"clientname", "c1"}, hello, codes.PermissionDenied},
		"by an interceptor, in order":         {[]server.Option{refuse(codes.OK)}, []string{"clientname", "c1"}, hello, codes.Unavailable},
		"for want of a name":                  {nil, []string{"a", "b"}, hello, codes.InvalidArgument},
		"for two names":                       {nil, []string{"clientname", "c1", "clientname-bin", "c2"}, hello, codes.InvalidArgument},
		"for a bad name":                      {nil, []string{"clientname-bin", "\n"}, hello, codes.InvalidArgument},
		"for a name that is taken":            {[]server.Option{server.WithDuplicates(server.RefuseDuplicates)}, []string{"clientname", "taken"}, hello, codes.AlreadyExists},
		"for a hello of an older version":     {nil, []string{"clientname", "c1"}, frames(t, &pb.Frame{Hello: &pb.Hello{CallWindow: 64 << 10}}), codes.FailedPrecondition},
		"for something in place of the hello": {nil, []string{"clientname", "c1"}, frames(t, &pb.Frame{Ping: 1}), codes.Internal},
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := listen(t, nil, test.opts...)
				if test.want == codes.AlreadyExists {
					<-run(t, p.connection(t), "taken", nil).connected
				}
				conn := p.speak(t, append(directOpening(t, test.pairs...), test.hello...))
				if st := said(t, conn); st.GetCode() != uint32(test.want) {
					t.Errorf("got the last word %v, want %v", st, test.want)
				}
			})
		})
	}
}

// A client that is refused for good stops, and does not try a gRPC stream.
func TestARefusedDirectClientStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := listen(t, nil, server.WithConnectInterceptors(func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
			return status.Error(codes.PermissionDenied, "not you")
		}))
		p.run(t, "c1").wantStopped(t, codes.PermissionDenied)
	})
}

// Interceptors see what a gRPC server's stream interceptors see, and their context
// ends with the session.
func TestConnectInterceptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ended := make(chan struct{})
		var order []string
		p := listen(t, nil, server.WithConnectInterceptors(
			func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
				ctx := s.Context()
				md, _ := metadata.FromIncomingContext(ctx)
				from, _ := peer.FromContext(ctx)
				method, _ := grpc.Method(ctx)
				if md.Get("clientname")[0] != "c1" || md.Get("a")[0] != "1" || from.Addr == nil || method != tunnel.ConnectMethod || info.FullMethod != method {
					t.Errorf("got the metadata %v, the peer %v, the methods %q and %q", md, from, method, info.FullMethod)
				}
				for what, err := range map[string]error{
					"SetHeader": s.SetHeader(md), "grpc.SetHeader": grpc.SetHeader(ctx, md), "grpc.SendHeader": grpc.SendHeader(ctx, md), "grpc.SetTrailer": grpc.SetTrailer(ctx, md),
				} {
					if err != nil {
						t.Errorf("%s: got %v, want no error", what, err)
					}
				}
				wantCode(t, s.RecvMsg(nil), codes.Unimplemented)
				wantCode(t, s.SendMsg(nil), codes.Unimplemented)
				order = append(order, "first")
				go func() {
					<-ctx.Done()
					close(ended)
				}()
				err := next(srv, withContext{s, context.WithValue(ctx, key{}, "a value")})
				order = append(order, "first again")
				return err
			},
			func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
				if s.Context().Value(key{}) != "a value" {
					t.Error("got another context, want that of the first")
				}
				order = append(order, "second")
				return next(srv, s)
			}))
		r := p.run(t, "c1", client.WithMetadata(metadata.Pairs("a", "1")))
		<-r.connected
		wantAnswer(t, p.Client("c1"), "c1")
		r.cancel()
		<-ended
		synctest.Wait()
		wantSame(t, "the order", order, []string{"first", "second", "first again"})
	})
}

type withContext struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // that is what it is for
}

func (s withContext) Context() context.Context { return s.ctx }

// The gRPC server does not own direct connections: it ends without them. Close
// ends them, and those that have no session yet.
func TestTheGRPCServerStopsWithoutDirectSessions(t *testing.T) {
	for how, stop := range map[string]func(*grpc.Server){"at once": (*grpc.Server).Stop, "gracefully": (*grpc.Server).GracefulStop} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := make(chan context.Context, 1)
				p := listen(t, nil, server.WithConnectInterceptors(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
					if md, _ := metadata.FromIncomingContext(s.Context()); md.Get("clientname")[0] == "slow" {
						asked <- s.Context()
						<-s.Context().Done()
						return s.Context().Err()
					}
					return next(srv, s)
				}))
				r := p.run(t, "c1")
				<-r.connected
				slow := p.speak(t, directOpening(t, "clientname", "slow"))
				<-asked
				half := p.speak(t, directOpening(t, "clientname", "half")[:12])
				synctest.Wait()

				stop(p.grpc)
				wantAnswer(t, p.Client("c1"), "c1")
				began := time.Now()
				if err := p.Close(); err != nil {
					t.Errorf("got %v, want no error", err)
				}
				if got := time.Since(began); got > time.Second {
					t.Errorf("got a Close that took %v, want at most the second for parting", got)
				}
				said(t, slow)
				if answer, err := io.ReadAll(half); len(answer) > 0 || err != nil {
					t.Errorf("got %q, %v, want a connection that is closed without a word", answer, err)
				}
				if _, err := ask(t.Context(), p.Client("c1")); !tunnel.NotSent(err) {
					t.Errorf("got %v, want a call that was not sent", err)
				}
			})
		})
	}
}

// Shutdown parts from direct clients without loss, and refuses new ones in words
// that let them come back.
func TestShutdownWithDirectSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := listen(t, nil, server.WithReconnectAfter(time.Minute))
		began := make(chan struct{}, 1)
		finish := make(chan struct{})
		s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			began <- struct{}{}
			<-finish
			return &testgrpc.SimpleResponse{ServerId: "in time"}, nil
		}}
		r := run(t, p.connection(t), "c1", s.register, client.WithDirectDialer(p.dial))
		<-r.connected
		answered := make(chan error, 1)
		go func() {
			_, err := ask(t.Context(), p.Client("c1"))
			answered <- err
		}()
		<-began
		down := make(chan error, 1)
		go func() { down <- p.Shutdown(context.Background()) }()
		synctest.Wait()
		st := said(t, p.speak(t, append(directOpening(t, "clientname", "late"), frames(t, &pb.Frame{Hello: &direct})...)))
		if st.GetCode() != uint32(codes.Unavailable) || len(st.GetDetails()) == 0 {
			t.Errorf("got the last word %v, want Unavailable with a time to come back", st)
		}
		close(finish)
		if err := <-answered; err != nil {
			t.Errorf("got %v, want an answer", err)
		}
		if err := <-down; err != nil {
			t.Errorf("got %v, want no error", err)
		}
		// The port may be open for longer.
		if answer, err := io.ReadAll(p.speak(t, directOpening(t, "clientname", "later"))); len(answer) > 0 || err != nil {
			t.Errorf("after Shutdown: got %q, %v, want a connection that is closed without a word", answer, err)
		}
	})
}

// limited is a listener with one connection at a time, made as everybody makes it:
// of connections that tell when they are closed.
type limited struct {
	net.Listener
	place chan struct{}
}

func (l limited) Accept() (net.Conn, error) {
	l.place <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.place
		return nil, err
	}
	return &telling{Conn: conn, closed: sync.OnceFunc(func() { <-l.place })}, nil
}

type telling struct {
	net.Conn
	closed func()
}

func (c *telling) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// A limit of connections counts direct ones for as long as they live. They are not
// known as TCP connections then, and have first bytes that were read already.
func TestALimitOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := listen(t, func(l net.Listener) net.Listener { return limited{l, make(chan struct{}, 1)} })
		first := p.run(t, "c1")
		<-first.connected
		second := p.run(t, "c2")
		synctest.Wait()
		wantSame(t, "names", namesOf(p.Server), []string{"c1"})
		first.cancel()
		<-first.stopped
		if got := <-second.connected; got.Protocol != "direct" {
			t.Errorf("got a session over %q, want a direct one", got.Protocol)
		}
		wantAnswer(t, p.Client("c2"), "c2")
	})
}

func namesOf(s *server.Server) []string {
	got := []string{}
	for session := range s.Sessions() {
		got = append(got, session.Name())
	}
	return got
}

// A half-open client is given up after two heartbeats, and the client finds that
// out by itself. It comes back, and has its name.
func TestADirectClientThatFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan error, 10)
		p := listen(t, nil, server.WithHeartbeat(time.Second), server.WithDuplicates(server.RefuseDuplicates), server.WithHooks(server.Hooks{
			Disconnected: func(_ *server.Session, err error) { gone <- err },
		}))
		r := p.run(t, "c1")
		<-r.connected
		time.Sleep(time.Hour) // of the bubble: heartbeats keep it
		wantAnswer(t, p.Client("c1"), "c1")
		began := time.Now()
		for _, conn := range p.net.Conns() {
			conn.Silence()
		}
		wantCode(t, <-gone, codes.Unavailable)
		if got := time.Since(began); got > 2*time.Second {
			t.Errorf("got an end after %v, want it after 2s", got)
		}
		if got := <-r.connected; got.Protocol != "direct" {
			t.Errorf("got a session over %q, want a direct one", got.Protocol)
		}
		wantAnswer(t, p.Client("c1"), "c1")
	})
}

// The direct transport on a listener of its own, beside another protocol.
func TestDirectProtocol(t *testing.T) {
	for how, protocols := range map[string]func(*server.Server) []tunnel.Protocol{
		"alone": func(s *server.Server) []tunnel.Protocol { return []tunnel.Protocol{s.DirectProtocol()} },
		"one of two": func(s *server.Server) []tunnel.Protocol {
			return []tunnel.Protocol{s.DirectProtocol(), native.Protocol()}
		},
	} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := faultnet.New(faultnet.Config{})
				l := n.Listener()
				push := server.New()
				served := make(chan error, 1)
				go func() { served <- push.Serve(l, protocols(push)...) }()
				dial := func(ctx context.Context) (net.Conn, error) { return n.DialContext(ctx, "") }
				r := run(t, nowhere(t), "c1", answers("c1"), client.WithDirectDialer(dial))
				if got := <-r.connected; got.Protocol != "direct" {
					t.Errorf("got a session over %q, want a direct one", got.Protocol)
				}
				wantAnswer(t, push.Client("c1"), "c1")
				conn, err := dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				conn.Write([]byte("\xd1posh1\r\n")) //nolint:errcheck // seen below
				if answer, err := io.ReadAll(conn); len(answer) > 0 || err != nil {
					t.Errorf("after a bad preface: got %q, %v, want a connection that is closed without a word", answer, err)
				}
				if err := push.Shutdown(t.Context()); err != nil {
					t.Errorf("got %v, want no error", err)
				}
				if err := <-served; err != nil {
					t.Errorf("Serve: got %v, want no error", err)
				}
				n.Cut()
			})
		})
	}
}

// nowhere is a gRPC connection that leads nowhere.
func nowhere(t *testing.T) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///nowhere", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return nil, errors.New("nowhere") }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// Many clients come and go at the same time as the server closes.
func TestCloseWhileDirectClientsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := listen(t, nil)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				conn, err := p.dial(t.Context())
				if err != nil {
					return
				}
				conn.Write(append(directOpening(t, "clientname", "c1"), frames(t, &pb.Frame{Hello: &direct})...)) //nolint:errcheck // it may be closed
				io.ReadAll(conn)                                                                                  //nolint:errcheck // likewise
				conn.Close()
			})
		}
		p.Close()
		all.Wait()
		if names, ids, _ := p.RegistrySize(); names+ids != 0 {
			t.Errorf("got %d names and %d sessions, want none", names, ids)
		}
	})
}
