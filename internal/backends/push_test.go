package backends

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// folder has the programs, and what "prepare" has made for them.
const folder = "../../examples/push"

// display is the client's service.
type display struct{ pb.UnimplementedNotifierServer }

func (display) Notify(_ context.Context, r *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	if r.GetText() == "Fire" {
		return nil, status.Error(codes.FailedPrecondition, "the display is broken")
	}
	return &pb.NotifyResponse{Display: "kitchen: " + r.GetText()}, nil
}

func (display) Install(r *pb.InstallRequest, s grpc.ServerStreamingServer[pb.InstallResponse]) error {
	for _, n := range []uint32{50, 100} {
		if err := s.Send(&pb.InstallResponse{Percent: n}); err != nil {
			return err
		}
	}
	return nil
}

// start starts a server with a gateway and a client named kitchen, and returns its
// address.
func start(t *testing.T) string {
	t.Helper()
	push := server.New()
	everybody := func(context.Context, gateway.Request) error { return nil }
	g := grpc.NewServer(append(server.RecommendedOptions(), gateway.New(push, everybody).ServerOptions()...)...)
	push.Register(g)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go g.Serve(l)
	t.Cleanup(func() {
		push.Close()
		g.Stop()
	})
	cc, err := grpc.NewClient(l.Addr().String(), append(client.RecommendedOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan struct{}, 10)
	c := client.New(cc, "kitchen", client.WithHooks(client.Hooks{Connected: func(tunnel.Peer) { connected <- struct{}{} }}))
	pb.RegisterNotifierServer(c, display{})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-served
		cc.Close()
	})
	select {
	case <-connected:
	case err := <-served:
		t.Fatalf("the client has stopped: %v", err)
	}
	return l.Addr().String()
}

// A program in another language pushes with its ordinary stub and one line more.
func TestStockStubs(t *testing.T) {
	if os.Getenv("PUSHTUNNEL_BACKENDS") == "" {
		t.Skip(`"make interop-backends" runs this`)
	}
	dir, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	addr := start(t)
	for language, program := range map[string][]string{
		"python": {filepath.Join(dir, ".venv/bin/python"), "push.py"},
		"node":   {"node", "push.js"},
	} {
		t.Run(language, func(t *testing.T) {
			for _, test := range []struct{ client, text, out, err string }{
				{"kitchen", "Dinner is ready", "shown by kitchen: Dinner is ready\n50%\n100%\n", ""},
				{"kitchen", "Fire", "", "FAILED_PRECONDITION: the display is broken (outcome: answered)\n"},
				{"hall", "Dinner", "", `UNAVAILABLE: pushtunnel: client "hall" is not connected (outcome: not sent)` + "\n"},
			} {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				cmd := exec.CommandContext(ctx, program[0], program[1], addr, test.client, test.text)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(dir, "generated"))
				var out, failed strings.Builder
				cmd.Stdout, cmd.Stderr = &out, &failed
				err := cmd.Run()
				cancel()
				if out.String() != test.out || failed.String() != test.err || (err == nil) != (test.err == "") {
					t.Errorf("%s %q: got %v\n%s%s, want\n%s%s", test.client, test.text, err, &out, &failed, test.out, test.err)
				}
			}
		})
	}
}
