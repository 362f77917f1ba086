//go:build unix

package nginx

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/pushtunnel/pushtunnel/client"
)

// keys are a certificate for 127.0.0.1 that has signed itself, and its key.
type keys struct {
	cert, key []byte // PEM
	pool      *x509.CertPool
}

func newKeys(t *testing.T) keys {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
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
	return k
}

func (k keys) tls() *tls.Config { return &tls.Config{RootCAs: k.pool} }

// dialTLS returns a connection through nginx, with TLS.
func (w *world) dialTLS(t *testing.T) *grpc.ClientConn {
	t.Helper()
	return dial(t, w.secure, append(client.RecommendedOptions(), grpc.WithTransportCredentials(credentials.NewTLS(w.keys.tls())))...)
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
