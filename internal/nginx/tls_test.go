//go:build unix

package nginx

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/client"
)

// keys are a certificate for 127.0.0.1 that has signed itself, and its key. Clients use
// the same, under the name "kitchen".
type keys struct {
	cert, key []byte // PEM
	pool      *x509.CertPool
	pair      tls.Certificate
}

func newKeys(t *testing.T) keys {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kitchen"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	k := keys{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}),
		pool: x509.NewCertPool(),
	}
	k.pool.AppendCertsFromPEM(k.cert)
	if k.pair, err = tls.X509KeyPair(k.cert, k.key); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k keys) tls() *tls.Config { return &tls.Config{RootCAs: k.pool} }

// dialTLS returns a connection through nginx, with TLS.
func (w *world) dialTLS(t *testing.T) *grpc.ClientConn {
	t.Helper()
	return w.dialWith(t, w.keys.tls())
}

func (w *world) dialWith(t *testing.T, cfg *tls.Config) *grpc.ClientConn {
	t.Helper()
	return dial(t, w.secure, append(client.RecommendedOptions(), grpc.WithTransportCredentials(credentials.NewTLS(cfg)))...)
}

// nginx ends TLS, and the server sees HTTP/2 in plaintext. The server is told the
// client's address.
func TestTLSAtTheProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	w.join(t, w.dialTLS(t), "c1")
	w.ask(t, "c1")
	if got := receive(t, w.opened, "the metadata of a tunnel").Get("x-real-ip"); len(got) != 1 || got[0] != "127.0.0.1" {
		t.Errorf("got x-real-ip %q, want the client's address", got)
	}
}

// nginx asks clients for certificates, if the lines for that are in use, and tells the
// server whom they name. It believes no client that says so itself.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{uncomment: true})
	cfg := w.keys.tls()
	cfg.Certificates = []tls.Certificate{w.keys.pair}
	lie := client.WithMetadata(metadata.Pairs("x-client-subject", "CN=garage", "x-real-ip", "192.0.2.1"))
	w.join(t, w.dialWith(t, cfg), "kitchen", lie)
	w.ask(t, "kitchen")
	md := receive(t, w.opened, "the metadata of a tunnel")
	if got := md.Get("x-client-subject"); len(got) != 1 || got[0] != "CN=kitchen" {
		t.Errorf("got x-client-subject %q, want that of the certificate", got)
	}
	if got := md.Get("x-real-ip"); len(got) != 1 || got[0] != "127.0.0.1" {
		t.Errorf("got x-real-ip %q, want the client's address", got)
	}

	failed := make(chan error, 100)
	refused := client.New(w.dialTLS(t), "hall", client.WithHooks(client.Hooks{Retry: func(err error, _ time.Duration) { failed <- err }}))
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- refused.Serve(ctx) }()
	select {
	case <-failed:
	case <-served:
	}
	cancel()
	none(t, w.opened, "tunnels without a certificate")
}
