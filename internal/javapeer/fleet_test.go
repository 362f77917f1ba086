package javapeer

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/certtest"
	pb "github.com/pushtunnel/pushtunnel/internal/javapeer/interoppb"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// gRPC clients, native Go clients and Java clients share names, picks, stubs, and one
// port: those of gRPC speak TLS there, the others do not.
func TestMixedFleet(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ca := certtest.New(t)
		g := newGoServer()
		g.addr = l.Addr().String()
		gs := grpc.NewServer(g.OnePort(server.Port{
			TLS:       &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, "127.0.0.1")}},
			Protocols: []tunnel.Protocol{g.protocol()}, Plaintext: []string{"native"},
		}))
		g.Register(gs)
		ended := make(chan error, 1)
		go func() { ended <- gs.Serve(l) }()
		t.Cleanup(func() {
			g.Close()
			gs.Stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		creds := credentials.NewTLS(&tls.Config{RootCAs: ca.Pool()})
		for _, name := range []string{"a", "b"} {
			cc, err := grpc.NewClient(g.addr, grpc.WithTransportCredentials(creds))
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			var connected chan struct{}
			serveClient(t, client.New(cc, name, hooks(&connected)), &pushApi{label: "grpc-" + name}, &connected)
			goClient(t, endpoint(g.addr), name, &pushApi{label: "go-" + name})
			startClient(t, version, Client{Addr: g.addr, Name: name, Label: "java-" + name, Conns: 2})
		}
		for range 6 {
			await(t, g.came, "client")
		}

		// Each push goes to exactly one, in turn.
		for _, name := range []string{"a", "b"} {
			counts := make(map[string]int)
			for range 30 {
				r, err := g.push(name).Who(within(t, long), &pb.TextRequest{})
				if err != nil {
					t.Fatal(err)
				}
				counts[r.GetValue()]++
			}
			for _, kind := range []string{"grpc", "go", "java"} {
				if n := counts[kind+"-"+name]; n != 10 {
					t.Errorf("%s-%s got %d of 30 pushes, want 10: %v", kind, name, n, counts)
				}
			}
		}

		// One call to all.
		var all []string
		call := func(ctx context.Context, s *server.Session) (string, error) {
			r, err := pb.NewPushApiClient(s).Who(ctx, &pb.TextRequest{})
			return r.GetValue(), err
		}
		for s, r := range server.Fanout(within(t, long), g.Sessions(), call) {
			if r.Err != nil {
				t.Errorf("%s: %v", s.Name(), r.Err)
			}
			all = append(all, r.Value)
		}
		slices.Sort(all)
		if want := "[go-a go-b grpc-a grpc-b java-a java-b]"; fmt.Sprint(all) != want {
			t.Errorf("the fan-out reached %v, want %s", all, want)
		}
		// The same message, whatever the client.
		for s := range g.Sessions("a") {
			h, err := pb.NewPushApiClient(s).PushHolder(within(t, long), goHolder())
			if err != nil || h.String() != goHolder().String() {
				t.Errorf("%s client: %v, %v", s.Peer().Protocol, h, err)
			}
		}
	})
}
