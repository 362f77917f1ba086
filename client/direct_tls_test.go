package client_test

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/certtest"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// subject returns who the other end has proved to be.
func subject(t *testing.T, p *peer.Peer) string {
	t.Helper()
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		t.Errorf("got %v of the other end, want its certificate", p.AuthInfo)
		return ""
	}
	if info.SecurityLevel != credentials.PrivacyAndIntegrity {
		t.Errorf("got the security level %v, want %v", info.SecurityLevel, credentials.PrivacyAndIntegrity)
	}
	return info.State.PeerCertificates[0].Subject.CommonName
}

// seer answers with the name in the server's certificate.
type seer struct {
	testgrpc.UnimplementedTestServiceServer
	t *testing.T
}

func (s *seer) UnaryCall(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	from, _ := peer.FromContext(ctx)
	return &testgrpc.SimpleResponse{ServerId: subject(s.t, from)}, nil
}

// fort is a server with TLS on a real port. It tells of the clients that the
// interceptors see, of either transport.
type fort struct {
	*server.Server
	addr string
	seen chan string
}

func newFort(t *testing.T, creds func(*server.Server) credentials.TransportCredentials) *fort {
	t.Helper()
	f := &fort{seen: make(chan string, 10)}
	see := func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		from, _ := peer.FromContext(s.Context())
		f.seen <- subject(t, from)
		return next(srv, s)
	}
	f.Server = server.New(server.WithConnectInterceptors(see))
	g := grpc.NewServer(grpc.Creds(creds(f.Server)), grpc.StreamInterceptor(see))
	f.Register(g)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	served := make(chan struct{})
	go func() {
		g.Serve(l) //nolint:errcheck // it ends with Stop
		close(served)
	}()
	t.Cleanup(func() {
		f.Close()
		g.Stop()
		<-served
	})
	return f
}

// Over TLS the two ends agree upon the transport in their handshake, and nothing
// else changes: both know who the other is. Who does not know the transport gets
// gRPC streams.
func TestDirectOverTLS(t *testing.T) {
	ca := certtest.New(t)
	atServer := &tls.Config{Certificates: []tls.Certificate{ca.IssueNamed(t, "server", "127.0.0.1")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()}
	atClient := &tls.Config{Certificates: []tls.Certificate{ca.IssueNamed(t, "client", "127.0.0.1")}, RootCAs: ca.Pool()}
	direct := func(cfg *tls.Config) func(*server.Server) credentials.TransportCredentials {
		return func(s *server.Server) credentials.TransportCredentials {
			return s.PortCredentials(server.Port{TLS: cfg}).Clone()
		}
	}
	// With other protocols on the port the TLS handshake is not gRPC's own.
	shared := func(cfg *tls.Config) func(*server.Server) credentials.TransportCredentials {
		return func(s *server.Server) credentials.TransportCredentials {
			return s.PortCredentials(server.Port{TLS: cfg, Protocols: []tunnel.Protocol{native.Protocol()}}).Clone()
		}
	}
	for why, test := range map[string]struct {
		server func(*server.Server) credentials.TransportCredentials
		client *tls.Config
		want   string
	}{
		"both know it": {direct(atServer), atClient, "direct"},
		"the server has a configuration for each client": {direct(&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return atServer, nil
		}}), atClient, "direct"},
		"the client does not":         {direct(atServer), nil, "grpc"},
		"both know it, and others":    {shared(atServer), atClient, "direct"},
		"others, the client does not": {shared(atServer), nil, "grpc"},
		"others, a configuration for each": {shared(&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return atServer, nil
		}}), atClient, "direct"},
		"the server does not":       {func(*server.Server) credentials.TransportCredentials { return credentials.NewTLS(atServer) }, atClient, "grpc"},
		"the server is not trusted": {direct(atServer), &tls.Config{Certificates: atClient.Certificates}, "grpc"},
	} {
		t.Run(why, func(t *testing.T) {
			f := newFort(t, test.server)
			cc, err := grpc.NewClient(f.addr, grpc.WithTransportCredentials(credentials.NewTLS(atClient)))
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			c := newConnections()
			opts := []client.Option{c.option()}
			if test.client != nil {
				opts = append(opts, client.WithDirect(f.addr, test.client))
			}
			m := client.New(cc, "c1", opts...)
			testgrpc.RegisterTestServiceServer(m, &seer{t: t})
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan struct{})
			go func() {
				m.Serve(ctx) //nolint:errcheck // it is cancelled
				close(served)
			}()
			defer func() {
				cancel()
				<-served
			}()
			wantProtocol(t, c, test.want)
			if got := <-f.seen; got != "client" {
				t.Errorf("got the client %q, want %q", got, "client")
			}
			var p peer.Peer
			r, err := testgrpc.NewTestServiceClient(f.Client("c1")).UnaryCall(t.Context(), &testgrpc.SimpleRequest{}, grpc.Peer(&p))
			if err != nil || r.GetServerId() != "server" || subject(t, &p) != "client" {
				t.Errorf("got %v, %v from %v, want an answer that names both ends", r, err, p)
			}
			if len(f.seen) > 0 {
				t.Error("got a second client, want one")
			}
		})
	}
	if atServer.NextProtos != nil || atClient.NextProtos != nil {
		t.Error("got a changed configuration of the user's")
	}
}

// A TLS client that agrees upon nothing is neither: gRPC refuses it, and it can't
// get in by a preface. Nor can one that agrees upon gRPC.
func TestTLSWithoutAnAgreement(t *testing.T) {
	t.Run("alone", func(t *testing.T) { testTLSWithoutAnAgreement(t) })
	t.Run("with another protocol", func(t *testing.T) { testTLSWithoutAnAgreement(t, native.Protocol()) })
}

func testTLSWithoutAnAgreement(t *testing.T, others ...tunnel.Protocol) {
	ca := certtest.New(t)
	f := newFort(t, func(s *server.Server) credentials.TransportCredentials {
		return s.PortCredentials(server.Port{
			TLS:       &tls.Config{Certificates: []tls.Certificate{ca.IssueNamed(t, "server", "127.0.0.1")}},
			Protocols: others,
		})
	})
	for _, protocols := range [][]string{nil, {"h2"}} {
		conn, err := tls.Dial("tcp", f.addr, &tls.Config{RootCAs: ca.Pool(), NextProtos: protocols})
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(tunnel.DirectPreface + "\x0a\x16\x1a\x14\x0a\x12\x0a\x0aclientname\x12\x04nope")) //nolint:errcheck // seen below
		b := make([]byte, 1)
		for n, err := 1, error(nil); err == nil; n, err = conn.Read(b) {
			if n > 0 && b[0] == tunnel.DirectPreface[0] {
				t.Errorf("with %v: got a preface, want none", protocols)
			}
		}
		conn.Close()
	}
	if len(f.seen) > 0 {
		t.Error("got a client, want none")
	}
}
