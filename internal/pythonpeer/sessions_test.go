package pythonpeer

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	notifierpb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/server"
)

// works calls c1, and waits for it if need be.
func works(t *testing.T, stub testgrpc.TestServiceClient) {
	t.Helper()
	if _, err := stub.EmptyCall(within(t, long), &testgrpc.Empty{}, grpc.WaitForReady(true)); err != nil {
		t.Errorf("a call: %v", err)
	}
}

// TestComesBack cuts the connection: the calls under way fail, and so does what their
// handlers do; then the client is there again. The server allows one session of a name,
// so this fails if the client does not show its previous one.
func TestComesBack(t *testing.T) {
	t.Parallel()
	w, p, stub := connect(t, options{}, server.WithDuplicates(server.RefuseDuplicates), server.WithHeartbeat(long))
	first := p.await(t, "open")
	wait := &testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{IntervalUs: hour}}}
	stream, err := stub.StreamingOutputCall(within(t, long), wait)
	if err != nil {
		t.Fatal(err)
	}
	p.await(t, "began")
	w.listener.cut()
	_, err = stream.Recv()
	wantCode(t, err, codes.Unavailable)
	p.await(t, "cancelled")
	if second := p.await(t, "open"); second == first {
		t.Error("got the same session again, want another")
	}
	works(t, stub)
}

// TestServerRestarts stops the server, and starts another in its place.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	w, p, stub := connect(t, options{})
	p.await(t, "open")
	works(t, stub)
	w.stop()
	again := newWorld(t, w.addr)
	p.await(t, "open")
	works(t, testgrpc.NewTestServiceClient(again.push.Client("c1")))
}

// TestMoves asks the client to move, again and again, while calls of all kinds run. None
// may fail.
func TestMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", server.WithDuplicates(server.RefuseDuplicates))
	startPeer(t, w.addr, "c1", options{})
	session := w.session(t)
	stub := testgrpc.NewTestServiceClient(w.push.Client("c1"))
	var calls sync.WaitGroup
	var stop atomic.Bool
	var count atomic.Int64
	for i := range 8 {
		calls.Go(func() {
			for !stop.Load() {
				var err error
				if i%2 == 0 {
					_, err = stub.UnaryCall(within(t, long), &testgrpc.SimpleRequest{ResponseSize: 50_000})
				} else {
					err = slowStream(within(t, long), stub)
				}
				if err != nil {
					t.Errorf("a call has failed: %v", err)
					return
				}
				count.Add(1)
			}
		})
	}
	for range 3 {
		before := count.Load()
		session.Drain("a test")
		next := w.session(t)
		if err := await(t, w.gone, "end of the old session"); err != nil {
			t.Errorf("the old session has ended with %v, want in order", err)
		}
		session = next
		for ctx := within(t, long); count.Load() < before+20 && ctx.Err() == nil; {
			works(t, stub)
		}
	}
	stop.Store(true)
	calls.Wait()
	t.Logf("%d calls", count.Load())
}

// slowStream is a call that takes some time.
func slowStream(ctx context.Context, stub testgrpc.TestServiceClient) error {
	in := &testgrpc.StreamingOutputCallRequest{}
	for range 5 {
		in.ResponseParameters = append(in.ResponseParameters, &testgrpc.ResponseParameters{Size: 1000, IntervalUs: 10_000})
	}
	stream, err := stub.StreamingOutputCall(ctx, in)
	if err != nil {
		return err
	}
	got := 0
	for {
		if _, err = stream.Recv(); err != nil {
			break
		}
		got++
	}
	if got != len(in.GetResponseParameters()) {
		return errors.Join(err, errors.New("messages are missing"))
	}
	return nil
}

// TestShutdownMovesToTheNext has a server end in order: the call under way is answered.
func TestShutdownMovesToTheNext(t *testing.T) {
	t.Parallel()
	w, p, stub := connect(t, options{})
	p.await(t, "open")
	answered := make(chan error, 1)
	go func() { answered <- slowStream(within(t, long), stub) }()
	p.await(t, "began")
	if err := w.push.Shutdown(within(t, long)); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := await(t, answered, "answer"); err != nil {
		t.Errorf("the call under way: %v", err)
	}
	w.stop()
	again := newWorld(t, w.addr)
	p.await(t, "open")
	works(t, testgrpc.NewTestServiceClient(again.push.Client("c1")))
}

// TestHeartbeats keeps a session that nobody uses for many intervals.
func TestHeartbeats(t *testing.T) {
	t.Parallel()
	const interval = 500 * time.Millisecond
	w := newWorld(t, "", server.WithHeartbeat(interval))
	startPeer(t, w.addr, "c1", options{})
	session := w.session(t)
	select {
	case <-session.Done():
		t.Errorf("the session has ended: %v", session.Err())
	case <-time.After(8 * interval):
	}
	works(t, testgrpc.NewTestServiceClient(session))
}

// TestDeadNetwork has the client notice by itself that nothing arrives any more.
func TestDeadNetwork(t *testing.T) {
	t.Parallel()
	w, p, stub := connect(t, options{}, server.WithHeartbeat(time.Second))
	p.await(t, "open")
	w.listener.freeze()
	p.await(t, "open")
	works(t, stub)
}

// TestRefusedClientStops has a server that wants nothing of the client.
func TestRefusedClientStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", server.WithIdentity(func(context.Context, server.Candidate) (server.Identity, error) {
		return server.Identity{}, status.Error(codes.PermissionDenied, "not you")
	}))
	p := startPeer(t, w.addr, "c1", options{})
	if got, want := p.await(t, "stopped"), "PERMISSION_DENIED: not you"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTakenNameStops has two clients of a name that may have one.
func TestTakenNameStops(t *testing.T) {
	t.Parallel()
	w, _, stub := connect(t, options{}, server.WithDuplicates(server.RefuseDuplicates))
	p := startPeer(t, w.addr, "c1", options{})
	p.await(t, "stopped ALREADY_EXISTS")
	works(t, stub)
}

// TestRetryInfo has a server that takes one session in a while: the second client
// comes when it may.
func TestRetryInfo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", server.WithConnectRate(1, 1))
	startPeer(t, w.addr, "c1", options{})
	startPeer(t, w.addr, "c2", options{})
	startPeer(t, w.addr, "c3", options{})
	for range 3 {
		w.session(t)
	}
}

// TestLeaves has the client shut down while it serves a call.
func TestLeaves(t *testing.T) {
	t.Parallel()
	w, p, stub := connect(t, options{})
	answered := make(chan error, 1)
	go func() { answered <- slowStream(within(t, long), stub) }()
	p.await(t, "began")
	p.stop()
	if err := await(t, answered, "answer"); err != nil {
		t.Errorf("the call under way: %v", err)
	}
	p.await(t, "left")
	if err := await(t, w.gone, "end of the session"); err != nil {
		t.Errorf("the session has ended with %v, want in order", err)
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	labels := map[string]string{"zone": "Küche", "app": "display"}
	startPeer(t, w.addr, "Anzeige für Küche", options{Namespace: "acme", Labels: labels})
	s := w.session(t)
	if got, want := s.Name()+"|"+s.Namespace(), "Anzeige für Küche|acme"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if diff := cmp.Diff(labels, s.Labels()); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	works(t, testgrpc.NewTestServiceClient(s))
}

// TestDisplay runs the program of the example, and interrupts it.
func TestDisplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	p := startPython(t, filepath.Join(clientDir, "main.py"), w.addr, "kitchen")
	w.session(t)
	stub := notifierpb.NewNotifierClient(w.push.Client("kitchen"))
	out, err := stub.Notify(within(t, long), &notifierpb.NotifyRequest{Text: "Dinner is ready"})
	if err != nil || out.GetDisplay() != "kitchen" {
		t.Errorf("got %v, %v", out, err)
	}
	p.await(t, "the display shows: Dinner is ready")
	stream, err := stub.Install(within(t, long), &notifierpb.InstallRequest{Version: "v2"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []uint32{0, 50, 100} {
		if out, err := stream.Recv(); err != nil || out.GetPercent() != want {
			t.Fatalf("got %v, %v, want %d percent", out, err, want)
		}
	}
	if err := p.process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("got %v, want the end", err)
	}
	if err := await(t, w.gone, "end of the session"); err != nil {
		t.Errorf("the session has ended with %v, want in order", err)
	}
}
