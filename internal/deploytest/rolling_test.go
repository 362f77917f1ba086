//go:build unix

package deploytest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
)

// pod is a server with the settings of the example.
type pod struct {
	*process
	addr, admin string
	caller      pb.NotifierClient
}

// ask makes a call to the client, if it is connected to this pod, and returns how far it came.
func (p *pod) ask(ctx context.Context, t *testing.T) (outcome string, err error) {
	t.Helper()
	var trailer metadata.MD
	_, err = p.caller.Notify(ctx, &pb.NotifyRequest{}, grpc.Trailer(&trailer))
	return strings.Join(trailer.Get("pushtunnel-outcome"), ","), err
}

// ready reports what the kubelet's probe finds.
func (p *pod) ready(ctx context.Context) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.admin+"/readyz", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// service is a service of Kubernetes: a connection goes to a pod that is ready.
type service struct {
	net.Listener
	pods []*pod
	busy sync.WaitGroup
}

// serve forwards connections until the listener is closed, and then until the last has
// ended.
func (s *service) serve(ctx context.Context) {
	defer s.busy.Wait()
	for {
		in, err := s.Accept()
		if err != nil {
			return
		}
		s.busy.Go(func() { s.forward(ctx, in) })
	}
}

func (s *service) forward(ctx context.Context, in net.Conn) {
	defer in.Close()
	for _, p := range s.pods {
		if !p.ready(ctx) {
			continue
		}
		out, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
		if err != nil {
			continue
		}
		defer out.Close()
		var back sync.WaitGroup
		back.Go(func() {
			_, _ = io.Copy(in, out)
			_ = in.Close()
		})
		_, _ = io.Copy(out, in)
		_ = out.Close()
		back.Wait()
		return
	}
}

// slow answers when it is let, if it is asked to.
type slow struct {
	pb.UnimplementedNotifierServer
	entered, let chan struct{}
}

func (s *slow) Notify(_ context.Context, r *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	if r.GetText() == "slow" {
		close(s.entered)
		<-s.let
	}
	return &pb.NotifyResponse{Display: r.GetText()}, nil
}

// When a pod is replaced its client comes to the other one, and no call is lost: the one
// that the old pod is waiting for is answered, and those that callers make meanwhile, asking
// one pod after the other, are answered or were not sent.
func TestAPodIsReplaced(t *testing.T) {
	t.Run("gRPC stream", func(t *testing.T) { replace(t, false) })
	t.Run("direct transport", func(t *testing.T) { replace(t, true) })
}

func replace(t *testing.T, direct bool) {
	t.Helper()
	text, _ := load(t).settings(t)
	dir, authority := secret(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	config := &tls.Config{RootCAs: roots, ServerName: "pushtunnel", MinVersion: tls.VersionTLS13}
	secured := grpc.WithTransportCredentials(credentials.NewTLS(config))
	dial := func(addr string) *grpc.ClientConn {
		cc, err := grpc.NewClient(addr, secured)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cc.Close() })
		return cc
	}

	s := &service{}
	for range 2 {
		p := &pod{process: start(t, exec.Command(program(t), "serve", "--config", settingsIn(t, text, dir),
			"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--drain-delay=100ms"))}
		serving := p.logged(t, "serving")
		p.addr, p.admin = serving["addr"].(string), serving["admin"].(string)
		p.caller = pb.NewNotifierClient(dial(p.addr))
		s.pods = append(s.pods, p)
	}
	var err error
	if s.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.serve(context.WithoutCancel(t.Context()))
	}()
	t.Cleanup(func() { <-served })
	t.Cleanup(func() { s.Close() })

	h := &slow{entered: make(chan struct{}), let: make(chan struct{})}
	opts := []client.Option{client.WithMetadata(metadata.Pairs("authorization", "Bearer c1-c1-c1-c1-c1-c1"))}
	if direct {
		opts = append(opts, client.WithDirect(s.Addr().String(), config))
	}
	connect(t, dial(s.Addr().String()), h, opts...)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "pushtunnel-client", "c1", "authorization", "Bearer backend-backend-backend")
	first, second := s.pods[0], s.pods[1]

	under := make(chan error, 1)
	go func() {
		_, err := first.caller.Notify(metadata.AppendToOutgoingContext(ctx, "pushtunnel-wait-for-ready", "true"), &pb.NotifyRequest{Text: "slow"})
		under <- err
	}()
	<-h.entered
	if outcome, err := second.ask(ctx, t); status.Code(err) != codes.Unavailable || outcome != "not sent" {
		t.Errorf("got %v and %q from the other pod, want that the client is not there", err, outcome)
	}

	first.terminate(t)
	first.logged(t, "stopping")
	let := sync.OnceFunc(func() { close(h.let) })
	defer let()
	for {
		outcome, err := first.ask(ctx, t)
		if err == nil {
			continue // it has not moved yet
		}
		if outcome == "unknown" {
			t.Fatalf("got %v with the outcome unknown", err)
		}
		outcome, err = second.ask(ctx, t)
		if err == nil {
			break
		}
		if outcome != "not sent" {
			t.Fatalf("got %v with the outcome %q, want not sent", err, outcome)
		}
	}
	let()
	if err := <-under; err != nil {
		t.Errorf("the call that was under way: %v", err)
	}
	first.wait(t)
}
