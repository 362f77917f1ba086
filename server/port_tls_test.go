package server

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

	"google.golang.org/grpc/credentials"

	"github.com/pushtunnel/pushtunnel/internal/certtest"
)

// What the port says of a TLS connection is what gRPC's own credentials say.
func TestTLSInfoIsGRPCs(t *testing.T) {
	ca := certtest.New(t)
	for _, names := range [][]string{
		{"kitchen"},
		{"spiffe://example.com/kitchen"},
		{"spiffe://example.com/kitchen", "kitchen"},
		{"spiffe://example.com/kitchen", "https://example.com/kitchen"},
		{"https://example.com/kitchen"},
		{"spiffe://example.com"},
		nil,
	} {
		cfg := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, "port")}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ca.Pool()}
		ours, theirs := net.Pipe()
		client := &tls.Config{RootCAs: ca.Pool(), ServerName: "port", NextProtos: []string{"h2"}}
		if names != nil {
			client.Certificates = []tls.Certificate{ca.Issue(t, names...)}
		}
		shaken := make(chan error, 1)
		go func() {
			conn := tls.Client(theirs, client)
			shaken <- conn.HandshakeContext(context.Background())
			conn.Read(make([]byte, 1)) //nolint:errcheck // until the other end is closed
		}()
		_, auth, err := credentials.NewTLS(cfg).ServerHandshake(ours)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-shaken; err != nil {
			t.Fatal(err)
		}
		want := auth.(credentials.TLSInfo)
		got := tlsInfo(want.State)
		if got.SecurityLevel != want.SecurityLevel || (got.SPIFFEID == nil) != (want.SPIFFEID == nil) ||
			got.SPIFFEID != nil && got.SPIFFEID.String() != want.SPIFFEID.String() {
			t.Errorf("%v: got %v and level %v, want %v and %v", names, got.SPIFFEID, got.SecurityLevel, want.SPIFFEID, want.SecurityLevel)
		}
		ours.Close()
	}
}
