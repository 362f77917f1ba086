package native_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/internal/mapping/testpb"
	"github.com/pushtunnel/pushtunnel/native/java"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// javaServer is a server that the test plays, with a client c1 that has a clock of
// its own. Each connection of the client comes out of conns.
type javaServer struct {
	t         *testing.T
	conns     chan *fakeJava
	connected chan struct{}
	ended     chan error
}

func withJavaServer(t *testing.T, impl *receiver, f func(t *testing.T, s *javaServer), opts ...native.Option) {
	synctest.Test(t, func(t *testing.T) {
		s := &javaServer{t: t, conns: make(chan *fakeJava, 10), connected: make(chan struct{}, 10), ended: make(chan error, 1)}
		opts := append([]native.Option{native.WithDialFunc(func(context.Context, string) (net.Conn, error) {
			a, b := net.Pipe()
			s.conns <- &fakeJava{t, b}
			return a, nil
		})}, opts...)
		c := client.NewDialer(native.Dialer("java:8012", opts...), "c1",
			client.WithHooks(client.Hooks{Connected: func(tunnel.Peer) { s.connected <- struct{}{} }}))
		pb.RegisterUserPushApiServer(c, impl)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { s.ended <- c.Serve(ctx) }()
		f(t, s)
		cancel()
		<-s.ended
	})
}

// wantRegistration reads a registration, and returns its id.
func (f *fakeJava) wantRegistration(typ native.FrameType) int64 {
	f.t.Helper()
	fr, err := f.receive()
	if err != nil || fr.Type != typ || string(fr.raw) != string(registration(f.t, "c1")) {
		f.t.Fatalf("got %v %q, %v; want a registration as %v", fr.Type, fr.raw, err, typ)
	}
	return fr.CorrelationID
}

var registered = java.POJO{Class: "com.baidu.brpc.server.push.Response", Fields: []java.Field{{Number: 1, Type: 0, Value: []byte{0}}}}

// accept takes a connection and acknowledges its registration.
func (s *javaServer) accept() *fakeJava {
	s.t.Helper()
	f := <-s.conns
	f.send(native.TypeResponse, f.wantRegistration(native.TypeRequest), contentBody(s.t, registered))
	<-s.connected
	return f
}

func userPush(t *testing.T, text string) []byte {
	return requestBody(t, "com.baidu.brpc.example.push.push.UserPushApi", "clientReceive", text,
		java.POJO{Class: "com.baidu.brpc.example.push.push.PushData", Fields: []java.Field{{Number: 1, Type: 2, Value: []byte("d")}}})
}

func TestServerThatDoesNotAcknowledge(t *testing.T) {
	withJavaServer(t, &receiver{}, func(t *testing.T, s *javaServer) {
		f := <-s.conns
		began := time.Now()
		f.wantRegistration(native.TypeRequest)
		f.wantRegistration(native.TypeRegister)
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("it is registered the other way after %v, want 3 s", d)
		}
		<-s.connected
		// A late acknowledgement is nobody's.
		f.send(native.TypeResponse, 1, contentBody(t, registered))
		f.send(native.TypePush, 5, userPush(t, "x"))
		f.want(native.TypePushResponse, 5)
	})
}

func TestRegistrationAsJavaClientsDo(t *testing.T) {
	withJavaServer(t, &receiver{}, func(t *testing.T, s *javaServer) {
		f := <-s.conns
		f.wantRegistration(native.TypeRegister)
		<-s.connected
	}, native.WithRegistration(native.OneWay, 0))
}

func TestServerRefusesTheName(t *testing.T) {
	withJavaServer(t, &receiver{}, func(t *testing.T, s *javaServer) {
		f := <-s.conns
		no := registered
		no.Fields = []java.Field{{Number: 1, Type: 0, Value: []byte{3}}, {Number: 2, Type: 2, Value: []byte("not you")}}
		f.send(native.TypeResponse, f.wantRegistration(native.TypeRequest), contentBody(t, no))
		err := <-s.ended
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "not you (code 3)") {
			t.Errorf("got %v", err)
		}
		s.ended <- err
	})
}

// Every push is answered with all the bits of its id, in time, or not at all.
func TestAnswersOfAClient(t *testing.T) {
	ended := make(map[string]time.Duration)
	impl := &receiver{do: func(ctx context.Context, r *pb.ClientReceiveRequest) (*pb.PushResult, error) {
		switch r.GetExtra() {
		case "fail":
			return nil, errors.New("no")
		case "slow":
			began := time.Now()
			<-ctx.Done()
			ended["slow"] = time.Since(began)
			return &pb.PushResult{}, nil
		}
		return &pb.PushResult{Result: r.GetExtra()}, nil
	}}
	withJavaServer(t, impl, func(t *testing.T, s *javaServer) {
		f := s.accept()
		for _, id := range []int64{0, -5, 777777777777, 1<<62 | 7, 1<<63 - 1} {
			f.send(native.TypePush, id, userPush(t, "x"))
			fr := f.want(native.TypePushResponse, id)
			if fr.body.Content == nil {
				t.Error("an answer without content")
			}
		}
		f.send(native.TypePush, 1, userPush(t, "fail"))
		f.send(native.TypePush, 2, requestBody(t, "no.Such", "method", "x"))
		f.send(native.TypePush, 3, []byte{0xff})
		f.send(native.TypePush, 4, nil)
		f.send(native.TypePush, 5, userPush(t, "slow"))
		time.Sleep(time.Minute) // of the bubble's clock
		f.send(native.TypePush, 6, userPush(t, "x"))
		f.want(native.TypePushResponse, 6) // and none of the others
		if ended["slow"] != 10*time.Second {
			t.Errorf("a slow handler's context ended after %v, want 10 s", ended["slow"])
		}
	})
}

func TestKeepAlive(t *testing.T) {
	withJavaServer(t, &receiver{}, func(t *testing.T, s *javaServer) {
		f := s.accept()
		for range 3 {
			began := time.Now()
			fr := f.want(native.TypePushResponse, -1)
			if d := time.Since(began); d != 25*time.Second || fr.Body != 0 {
				t.Errorf("%d bytes after %v, want none after 25 s", fr.Body, d)
			}
		}
	}, native.WithKeepAlive(25*time.Second))
}

func TestIdleCloseOfAJavaServer(t *testing.T) {
	withJavaServer(t, &receiver{}, func(t *testing.T, s *javaServer) {
		for range 3 {
			f := s.accept()
			time.Sleep(time.Minute) // of the bubble's clock
			f.Close()
			began := time.Now()
			f = s.accept()
			if d := time.Since(began); d > 100*time.Millisecond {
				t.Errorf("the client came back after %v, want 100 ms at most", d)
			}
			time.Sleep(time.Minute) // of the bubble's clock
			f.Close()
		}
	})
}

func TestClientIsStrict(t *testing.T) {
	withJavaServer(t, &receiver{}, func(t *testing.T, s *javaServer) {
		for _, b := range [][]byte{
			encodeFrame(native.TypeRequest, 1, nil), encodeFrame(native.TypeRegister, 1, nil), encodeFrame(native.TypePushResponse, 1, nil),
			badHead(func(b []byte) { b[36] ^= 1 }), badHead(setBody(0xffffffff)), badHead(setBody(64<<20 + 1)),
		} {
			f := s.accept()
			if _, err := f.Write(b); err != nil {
				t.Fatal(err)
			}
			f.closed()
		}
	})
}

// A method that is declared one_way is over when it is sent, however often.
func TestOneWayPush(t *testing.T) {
	timed(t, func(t *testing.T, w *world, p *pipes) {
		f := p.dial(t)
		f.send(native.TypeRegister, 0, registration(t, "c1"))
		<-w.came
		began := time.Now()
		done := make(chan error)
		for range 5 {
			go func() {
				_, err := testpb.NewSvcClient(w.Client("c1")).Log(t.Context(), &testpb.HiRequest{Name: "x"})
				done <- err
			}()
			if fr, err := f.receive(); err != nil || fr.Type != native.TypePush || fr.body.Method != "log" {
				t.Errorf("%+v, %v", fr, err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("that took %v", d)
		}
	}, native.WithPushes(&testpb.Svc_ServiceDesc))
}

// A caller that gives up has no answer either: it may have cost a thread.
func TestCanceledPushesCount(t *testing.T) {
	timed(t, func(t *testing.T, w *world, p *pipes) {
		f := p.dial(t)
		f.send(native.TypeRegister, 0, registration(t, "c1"))
		<-w.came
		push := func(ctx context.Context) error {
			_, err := pb.NewUserPushApiClient(w.Client("c1")).ClientReceive(ctx, &pb.ClientReceiveRequest{Data: &pb.PushData{}})
			return err
		}
		var last int64
		for range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- push(ctx) }()
			fr, err := f.receive()
			if err != nil {
				t.Fatal(err)
			}
			last = fr.CorrelationID
			cancel()
			if err := <-done; status.Code(err) != codes.Canceled {
				t.Errorf("got %v", err)
			}
		}
		if err := push(t.Context()); status.Code(err) != codes.Unavailable || !tunnel.NotSent(err) {
			t.Errorf("the third is sent: %v", err)
		}
		f.send(native.TypePushResponse, last, pushResult(t, "late"))
		synctest.Wait()
		done := make(chan error)
		go func() { done <- push(t.Context()) }()
		fr, err := f.receive()
		if err != nil {
			t.Fatal(err)
		}
		f.send(native.TypePushResponse, fr.CorrelationID, pushResult(t, "x"))
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestUnansweredWithoutALimit(t *testing.T) {
	timed(t, func(t *testing.T, w *world, p *pipes) {
		f := p.dial(t)
		f.send(native.TypeRegister, 0, registration(t, "c1"))
		<-w.came
		go func() {
			for {
				if _, err := f.receive(); err != nil {
					return
				}
			}
		}()
		for range 5 {
			if _, err := pb.NewUserPushApiClient(w.Client("c1")).ClientReceive(t.Context(), &pb.ClientReceiveRequest{Data: &pb.PushData{}}); status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("got %v", err)
			}
		}
	}, native.WithMaxUnanswered(0))
}

// A service whose .proto is not there cannot be mapped, and whoever is given it says so.
func TestMistakesAreFoundAtRegistration(t *testing.T) {
	bad := pb.UserPushApi_ServiceDesc
	bad.ServiceName = "not.linked.In"
	for what, f := range map[string]func(){
		"Protocol": func() { native.Protocol(native.WithPushes(&bad)) },
		"Dialer":   func() { native.Dialer("x", native.WithCalls(&bad)) },
		"RegisterService": func() {
			var s native.Services
			s.RegisterService(&bad, &receiver{})
		},
		"a client's RegisterService": func() { client.NewDialer(native.Dialer("x"), "c1").RegisterService(&bad, &receiver{}) },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, "not.linked.In cannot be mapped to Java") || !strings.Contains(text, "import its generated Go package") {
					t.Errorf("%s: %q", what, text)
				}
			}()
			f()
			t.Errorf("%s takes it", what)
		}()
	}
	if err := native.Check(&pb.UserPushApi_ServiceDesc, &bad); err == nil {
		t.Error("Check finds nothing")
	}
	if err := native.Check(&pb.UserPushApi_ServiceDesc, &testpb.Svc_ServiceDesc); err != nil {
		t.Error(err)
	}
}

// Void is answered, and null is not.
func TestVoidAndNull(t *testing.T) {
	w := newWorld(t, &echo{}, native.WithUnknownHandler(func(context.Context, string, string, []any) (any, error) { return nil, nil }))
	f := fake(t, w.addr)
	f.send(native.TypeRequest, 1, requestBody(t, "demo.Svc", "null", "x"))
	f.send(native.TypeRequest, 2, echoCall(t, "x"))
	f.want(native.TypeResponse, 2)

	var services native.Services
	testpb.RegisterSvcServer(&services, void{})
	w = &world{Server: w.Server}
	f = fake(t, w.listen(t, native.Protocol(native.WithServices(&services))))
	f.send(native.TypeRequest, 3, requestBody(t, "demo.Svc", "zero"))
	if fr := f.want(native.TypeResponse, 3); string(fr.body.Content) != "\x08\x01" {
		t.Errorf("void is answered with %x", fr.body.Content)
	}
	f.send(native.TypeRequest, 4, requestBody(t, "demo.Svc", "maybe", nil, nil, nil)) // null
	f.send(native.TypeRequest, 5, requestBody(t, "demo.Svc", "zero"))
	f.want(native.TypeResponse, 5)
}

type void struct{ testpb.UnimplementedSvcServer }

func (void) Zero(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (void) Maybe(context.Context, *testpb.MaybeRequest) (*testpb.MaybeResult, error) {
	return &testpb.MaybeResult{}, nil
}
