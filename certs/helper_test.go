package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/certs"
)

// lifetime is how long certificates are good.
const lifetime = 2 * time.Hour

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = a.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.pem = certPEM(a.cert)
	return a
}

func (a *authority) sign(t testing.TB, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(lifetime)
	if c.IsCA {
		c.NotAfter = time.Now().Add(10 * lifetime)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// issued is a certificate with its key, in PEM.
type issued struct{ cert, key []byte }

// issue returns a certificate for push.test and 127.0.0.1, for servers and clients.
// label is its common name.
func (a *authority) issue(t testing.TB, label string) issued {
	t.Helper()
	return a.issueFor(t, label, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
}

func (a *authority) issueFor(t testing.TB, label string, usage ...x509.ExtKeyUsage) issued {
	t.Helper()
	cert, key := a.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: label}, DNSNames: []string{"push.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: usage,
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return issued{certPEM(cert), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// folder is where one end has its files.
type folder struct {
	t     testing.TB
	files certs.Files
}

func newFolder(t testing.TB) *folder {
	dir := t.TempDir()
	return &folder{t, certs.Files{
		Certificate: filepath.Join(dir, "a.crt"), Key: filepath.Join(dir, "a.key"), Authorities: filepath.Join(dir, "authorities.crt"),
	}}
}

func (f *folder) write(name string, content []byte) {
	f.t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) identity(i issued) *folder {
	f.t.Helper()
	f.write(f.files.Certificate, i.cert)
	f.write(f.files.Key, i.key)
	return f
}

func (f *folder) trust(all ...*authority) *folder {
	f.t.Helper()
	var content []byte
	for _, a := range all {
		content = append(content, a.pem...)
	}
	f.write(f.files.Authorities, content)
	return f
}

// watch watches the files until the test ends.
func (f *folder) watch(opts ...certs.Option) *certs.Watcher {
	f.t.Helper()
	w, err := certs.Watch(f.files, opts...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(w.Close)
	return w
}

// shown is what the two ends of a handshake have shown: the common names of their
// certificates.
type shown struct{ server, client string }

// handshake does a TLS handshake in memory, and returns the errors of the two ends.
func handshake(server, client *tls.Config) (shown, error) {
	l := bufconn.Listen(64 << 10)
	defer l.Close()
	var got shown
	var serverErr, clientErr error
	var both sync.WaitGroup
	both.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			serverErr = err
			return
		}
		c := tls.Server(conn, server)
		defer c.Close()
		if serverErr = c.Handshake(); serverErr == nil {
			_, serverErr = c.Write([]byte("x"))
		}
		got.client = leaf(c.ConnectionState())
	})
	both.Go(func() {
		conn, err := l.Dial()
		if err != nil {
			clientErr = err
			return
		}
		defer conn.Close()
		c := tls.Client(conn, client)
		if clientErr = c.Handshake(); clientErr == nil {
			_, clientErr = c.Read(make([]byte, 1)) // a server refuses after the client's handshake
		}
		got.server = leaf(c.ConnectionState())
	})
	both.Wait()
	return got, errors.Join(serverErr, clientErr)
}

// leaf is the common name of the other end's certificate.
func leaf(s tls.ConnectionState) string {
	if len(s.PeerCertificates) == 0 {
		return ""
	}
	return s.PeerCertificates[0].Subject.CommonName
}
