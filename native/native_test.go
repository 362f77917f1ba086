package native_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/java"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

type protocol = tunnel.Protocol

func calls(addr string, opts ...native.Option) *native.Endpoint {
	return native.Dialer(addr, append([]native.Option{native.WithCalls(&pb.EchoService_ServiceDesc)}, opts...)...)
}

func TestPushAndCall(t *testing.T) {
	var seen tunnel.Peer
	w := newWorld(t, &echo{do: func(ctx context.Context, r *pb.EchoRequest) (*pb.EchoResponse, error) {
		seen, _ = tunnel.PeerFromContext(ctx)
		if p, ok := peer.FromContext(ctx); !ok || p.Addr == nil {
			t.Error("the handler has no peer")
		}
		if err := grpc.SetHeader(ctx, nil); err != nil {
			t.Error(err)
		}
		return &pb.EchoResponse{Message: r.GetMessage() + "!"}, nil
	}})
	e := calls(w.addr)
	dial(t, e, "c1", nil)
	got, err := w.push(within(t), "c1", "abc", "hello")
	if err != nil || got != "c1 abc hello" {
		t.Fatalf("got %q, %v", got, err)
	}
	for s := range w.Sessions("c1") {
		if calls := s.Traffic().Calls; calls != 1 {
			t.Errorf("got %d calls to the session, want 1", calls)
		}
	}
	r, err := pb.NewEchoServiceClient(e).Echo(within(t), &pb.EchoRequest{Message: "hi"})
	if err != nil || r.GetMessage() != "hi!" {
		t.Fatalf("got %v, %v", r, err)
	}
	if seen.Name != "c1" || seen.Protocol != "native" || seen.Session == "" {
		t.Errorf("the handler was called by %+v", seen)
	}
}

func TestCallsWithoutAName(t *testing.T) {
	w := newWorld(t, &echo{})
	e := calls(w.addr)
	defer e.Close()
	for range 3 {
		if _, err := pb.NewEchoServiceClient(e).Echo(within(t), &pb.EchoRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	for s := range w.Sessions() {
		t.Errorf("there is a session %q", s.Name())
	}
	e.Close()
	if _, err := pb.NewEchoServiceClient(e).Echo(within(t), &pb.EchoRequest{}); status.Code(err) != codes.Canceled {
		t.Errorf("a closed endpoint calls: %v", err)
	}
}

func TestManyCallsAtATime(t *testing.T) {
	w := newWorld(t, &echo{})
	e := calls(w.addr)
	dial(t, e, "c1", nil)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 50 {
				if _, err := w.push(within(t), "c1", "x", strings.Repeat("y", 1000)); err != nil {
					t.Error(err)
					return
				}
				if _, err := pb.NewEchoServiceClient(e).Echo(within(t), &pb.EchoRequest{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A handler may push to its own caller, at many callers at a time, over one
// connection: brpc-java runs out of threads for the answers then.
func TestPushesInsideHandlers(t *testing.T) {
	var w *world
	w = newWorld(t, &echo{do: func(ctx context.Context, r *pb.EchoRequest) (*pb.EchoResponse, error) {
		got, err := w.push(ctx, "c1", r.GetMessage(), "")
		return &pb.EchoResponse{Message: got}, err
	}})
	e := calls(w.addr)
	dial(t, e, "c1", nil)
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if r, err := pb.NewEchoServiceClient(e).Echo(within(t), &pb.EchoRequest{Message: "x"}); err != nil || r.GetMessage() != "c1 x " {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
	wg.Wait()
}

// A handler's error is not on the wire: the caller's deadline is all there is.
func TestErrorsAreSilent(t *testing.T) {
	w := newWorld(t, &echo{do: func(context.Context, *pb.EchoRequest) (*pb.EchoResponse, error) {
		return nil, errors.New("no")
	}}, native.WithTimeout(50*time.Millisecond))
	e := calls(w.addr, native.WithTimeout(50*time.Millisecond))
	dial(t, e, "c1", &receiver{do: func(context.Context, *pb.ClientReceiveRequest) (*pb.PushResult, error) {
		return nil, errors.New("no")
	}})
	await(t, w.came, "client")
	_, err := w.push(t.Context(), "c1", "", "")
	if status.Code(err) != codes.DeadlineExceeded || tunnel.OutcomeOf(err) != tunnel.OutcomeUnknown {
		t.Errorf("got %v", err)
	}
	_, err = pb.NewEchoServiceClient(e).Echo(t.Context(), &pb.EchoRequest{})
	if status.Code(err) != codes.DeadlineExceeded || tunnel.OutcomeOf(err) != tunnel.OutcomeUnknown {
		t.Errorf("got %v", err)
	}
}

func TestErrorPolicies(t *testing.T) {
	fails := &echo{do: func(context.Context, *pb.EchoRequest) (*pb.EchoResponse, error) { return nil, errors.New("no") }}
	w := newWorld(t, fails, native.WithErrorPolicy(native.CloseConnection))
	e := calls(w.addr)
	defer e.Close()
	if _, err := pb.NewEchoServiceClient(e).Echo(within(t), &pb.EchoRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("CloseConnection: %v", err)
	}
	w = newWorld(t, fails, native.WithErrorPolicy(native.WrongType))
	e = calls(w.addr)
	defer e.Close()
	if _, err := pb.NewEchoServiceClient(e).Echo(within(t), &pb.EchoRequest{}); status.Code(err) != codes.Internal {
		t.Errorf("WrongType: %v", err)
	}
}

func TestDisconnectFailsPushes(t *testing.T) {
	w := newWorld(t, nil)
	entered := make(chan struct{})
	stop := dial(t, calls(w.addr), "c1", &receiver{do: func(ctx context.Context, _ *pb.ClientReceiveRequest) (*pb.PushResult, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	result := make(chan error, 1)
	go func() {
		_, err := w.push(within(t), "c1", "", "")
		result <- err
	}()
	<-entered
	stop()
	if err := await(t, result, "end"); status.Code(err) != codes.Unavailable || tunnel.OutcomeOf(err) != tunnel.OutcomeUnknown {
		t.Errorf("got %v", err)
	}
	await(t, w.gone, "end of the session")
	if _, err := pb.NewUserPushApiClient(w.Client("c1")).ClientReceive(t.Context(), &pb.ClientReceiveRequest{}); !tunnel.NotSent(err) {
		t.Errorf("got %v", err)
	}
}

func TestUndeclaredServiceIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	dial(t, calls(w.addr), "c1", nil)
	await(t, w.came, "client")
	_, err := pb.NewEchoServiceClient(w.Client("c1")).Echo(within(t), &pb.EchoRequest{})
	if status.Code(err) != codes.Unimplemented || !tunnel.NotSent(err) || !strings.Contains(err.Error(), "native.WithPushes") {
		t.Errorf("got %v", err)
	}
}

func TestDynamicForm(t *testing.T) {
	w := newWorld(t, nil, native.WithUnknownHandler(func(_ context.Context, service, method string, args []any) (any, error) {
		return java.List{Elems: append([]any{service, method}, args...)}, nil
	}))
	e := calls(w.addr, native.WithUnknownHandler(func(_ context.Context, _, method string, args []any) (any, error) {
		if method == "fail" {
			return nil, errors.New("no")
		}
		return args[0], nil
	}))
	dial(t, e, "c1", nil)
	await(t, w.came, "client")
	pojo := java.POJO{Class: "demo.X", Fields: []java.Field{{Number: 1, Type: 0, Value: []byte{1}}}}
	got, err := native.Invoke(within(t), w.Client("c1"), "demo.Svc", "echo", []any{pojo})
	if p, ok := got.(java.POJO); err != nil || !ok || p.Class != "demo.X" || len(p.Fields) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	got, err = native.Invoke(within(t), e, "demo.Svc", "any", []any{int32(1), "x"})
	if l, ok := got.(java.List); err != nil || !ok || len(l.Elems) != 4 || l.Elems[0] != "demo.Svc" || l.Elems[3] != "x" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := native.Invoke(within(t), e, "demo.Svc", "any", []any{1}); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "int32") {
		t.Errorf("an int goes: %v", err)
	}
	// A service that is registered takes what it knows, whatever the case.
	got, err = native.Invoke(within(t), w.Client("c1"), "COM.baidu.brpc.example.push.push.UserPushApi", "CLIENTRECEIVE",
		[]any{"a", java.POJO{Class: "com.baidu.brpc.example.push.push.PushData", Fields: []java.Field{{Number: 1, Type: 2, Value: []byte("b")}}}})
	if p, ok := got.(java.POJO); err != nil || !ok || string(p.Fields[0].Value) != "c1 a b" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestStreamFormOfACall(t *testing.T) {
	w := newWorld(t, nil)
	dial(t, calls(w.addr), "c1", nil)
	await(t, w.came, "client")
	s, err := w.Client("c1").NewStream(within(t), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, pb.UserPushApi_ClientReceive_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendMsg(&pb.ClientReceiveRequest{Extra: "x", Data: &pb.PushData{}}); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var r pb.PushResult
	if err := s.RecvMsg(&r); err != nil || r.GetResult() != "c1 x " {
		t.Errorf("got %v, %v", &r, err)
	}
}

// A stream that is given up before its call was made has an end, too.
func TestAbandonedStreamFormOfACall(t *testing.T) {
	w := newWorld(t, nil)
	dial(t, calls(w.addr), "c1", nil)
	await(t, w.came, "client")
	ctx, cancel := context.WithCancel(within(t))
	finished := make(chan error, 2)
	s, err := w.Client("c1").NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, pb.UserPushApi_ClientReceive_FullMethodName,
		grpc.OnFinish(func(err error) { finished <- err }))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendMsg(&pb.ClientReceiveRequest{Extra: "x", Data: &pb.PushData{}}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := await(t, finished, "end"); status.Code(err) != codes.Canceled || !tunnel.NotSent(err) {
		t.Errorf("it has ended with %v", err)
	}
	if err := s.RecvMsg(&pb.PushResult{}); status.Code(err) != codes.Canceled {
		t.Errorf("then got %v", err)
	}
	if len(finished) > 0 {
		t.Errorf("it has ended twice: %v", <-finished)
	}
}

// A client that breaks the protocol is told apart from one whose connection is lost.
func TestSessionsThatBreakTheProtocol(t *testing.T) {
	w := newWorld(t, nil)
	f := fake(t, w.addr)
	f.send(native.TypeRequest, 1, registration(t, "c1"))
	f.want(native.TypeResponse, 1)
	await(t, w.came, "client")
	f.send(native.TypePush, 1, nil)
	if err := await(t, w.gone, "end"); server.ReasonOf(err) != server.ReasonProtocol {
		t.Errorf("it has ended because of %q: %v", server.ReasonOf(err), err)
	}
	f = fake(t, w.addr)
	f.send(native.TypeRequest, 1, registration(t, "c1"))
	f.want(native.TypeResponse, 1)
	await(t, w.came, "client")
	f.Close()
	if err := await(t, w.gone, "end"); server.ReasonOf(err) != server.ReasonLeft && server.ReasonOf(err) != server.ReasonLost {
		t.Errorf("it has ended because of %q: %v", server.ReasonOf(err), err)
	}
}

func TestShutdownLetsCallsEnd(t *testing.T) {
	w := newWorld(t, nil)
	entered, finish := make(chan struct{}), make(chan struct{})
	dial(t, calls(w.addr), "c1", &receiver{do: func(context.Context, *pb.ClientReceiveRequest) (*pb.PushResult, error) {
		close(entered)
		<-finish
		return &pb.PushResult{Result: "done"}, nil
	}})
	result := make(chan error, 1)
	go func() {
		_, err := w.push(within(t), "c1", "", "")
		result <- err
	}()
	<-entered
	ended := make(chan error, 1)
	go func() { ended <- w.Shutdown(within(t)) }()
	for len(slices.Collect(w.Sessions())) > 0 {
		runtime.Gosched() // until it takes no more calls
	}
	if _, err := pb.NewUserPushApiClient(w.Client("c1")).ClientReceive(within(t), &pb.ClientReceiveRequest{}); !tunnel.NotSent(err) {
		t.Errorf("a client that is about to go is called: %v", err)
	}
	close(finish)
	if err := await(t, result, "answer"); err != nil {
		t.Error(err)
	}
	if err := await(t, ended, "end"); err != nil {
		t.Error(err)
	}
}

func TestSeveralConnectionsAreOneClient(t *testing.T) {
	w := newWorld(t, nil)
	dial(t, calls(w.addr, native.WithConns(5)), "c1", nil)
	dial(t, calls(w.addr, native.WithConns(3)), "c1", &receiver{name: "other"})
	await(t, w.came, "client")
	await(t, w.came, "client")
	n := 0
	for range w.Sessions("c1") {
		n++
	}
	if n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
	counts := make(map[string]int)
	for range 20 {
		r, err := w.push(within(t), "c1", "", "")
		if err != nil {
			t.Fatal(err)
		}
		counts[r]++
	}
	if counts["c1  "] != 10 || counts["other  "] != 10 {
		t.Errorf("got %v, want 10 each", counts)
	}
}
