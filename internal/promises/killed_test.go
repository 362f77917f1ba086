package promises_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// clientAddr tells the test binary to be a client of the server there.
const clientAddr = "PUSHTUNNEL_TEST_CLIENT_OF"

func TestMain(m *testing.M) {
	if addr := os.Getenv(clientAddr); addr != "" {
		os.Exit(beClient(addr))
	}
	os.Exit(m.Run())
}

// beClient serves calls that never end, and prints a line when each has begun.
func beClient(addr string) int {
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 1
	}
	c := client.New(cc, "c1")
	testgrpc.RegisterTestServiceServer(c, &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		os.Stdout.WriteString("began\n") //nolint:errcheck // the test would hang
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	c.Serve(context.Background()) //nolint:errcheck // it is killed
	return 1
}

// The callers of a client whose process is killed are told at once. There are no
// heartbeats here, and no deadlines: without the news of the operating system
// they would wait for ever. This is over real TCP, since a bubble has no processes.
func TestTheCallersOfAKilledClientAreToldAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	push := server.New(server.WithHeartbeat(-1), server.WithHooks(server.Hooks{
		Disconnected: func(_ *server.Session, reason error) { ended <- reason },
	}))
	g := grpc.NewServer()
	push.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	defer func() {
		push.Close() //nolint:errcheck // always nil
		g.Stop()
		<-served
	}()

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), clientAddr+"="+l.Addr().String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)

	const calls = 10
	failed := make(chan error, calls)
	for range calls {
		go func() {
			_, err := testgrpc.NewTestServiceClient(push.Client("c1")).UnaryCall(t.Context(), request(1), grpc.WaitForReady(true))
			failed <- err
		}()
	}
	for range calls {
		if !lines.Scan() {
			t.Fatalf("the client's output ended: %v", lines.Err())
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range calls {
		err := <-failed
		wantCode(t, "a call", err, codes.Unavailable)
		if got := tunnel.OutcomeOf(err); got != tunnel.OutcomeUnknown {
			t.Errorf("got the outcome %v, want %v", got, tunnel.OutcomeUnknown)
		}
	}
	wantCode(t, "the session", <-ended, codes.Unavailable)
	if _, err := testgrpc.NewTestServiceClient(push.Client("c1")).UnaryCall(t.Context(), request(1)); !tunnel.NotSent(err) {
		t.Errorf("a call after that: got %v, want that nothing was sent", err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Errorf("got %v, want a client that was killed", err)
	}
}
