package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pushtunnel/pushtunnel/certs"
)

// script runs certs.sh for a folder.
func script(t *testing.T, pki string, args ...string) {
	t.Helper()
	for _, needed := range []string{"sh", "openssl"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skipf("this test makes certificates with certs.sh, which needs %s: %v", needed, err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"certs.sh"}, args...)...)
	cmd.Env = append(os.Environ(), "PKI="+pki, "SERVER_SAN=DNS:localhost,IP:127.0.0.1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("certs.sh %v: %v\n%s", args, err, out)
	}
}

func load(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%s has no PEM", file)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// lines is what a program prints.
type lines struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{} // closed when more has been printed
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.more)
	l.more = make(chan struct{})
	return l.b.Write(p)
}

func (l *lines) read() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String(), l.more
}

// want waits until something is printed after the first n bytes, and returns what
// the expression's group has found, and how much had been printed then.
func (l *lines) want(t *testing.T, n int, expression string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	re := regexp.MustCompile(expression)
	for {
		text, more := l.read()
		if m := re.FindStringSubmatch(text[n:]); m != nil {
			return m[len(m)-1], len(text)
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("%q was not printed:\n%s", expression, text[n:])
		}
	}
}

// start runs a part of the example until the test ends.
func start(t *testing.T, pki string, run func(context.Context, program) error) *lines {
	t.Helper()
	out := &lines{more: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx, program{pki: pki, interval: 20 * time.Millisecond, every: 20 * time.Millisecond, out: out}); err != nil {
			fmt.Fprintf(out, "ended: %v\n", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return out
}

func startServer(t *testing.T, pki string) (out *lines, addr string) {
	t.Helper()
	out = start(t, pki, func(ctx context.Context, p program) error { return p.run(ctx, []string{"server", "127.0.0.1:0"}) })
	addr, _ = out.want(t, 0, `listening on (\S+)\n`)
	return out, addr
}

func startClient(t *testing.T, pki, name, addr string) *lines {
	t.Helper()
	return start(t, pki, func(ctx context.Context, p program) error { return p.run(ctx, []string{"client", name, addr}) })
}

func TestScript(t *testing.T) {
	pki := filepath.Join(t.TempDir(), "pki")
	script(t, pki, "new", "kitchen", "hall.ground-floor")
	roots := x509.NewCertPool()
	authority := load(t, filepath.Join(pki, "authority.crt"))
	roots.AddCert(authority)
	for file, test := range map[string]struct {
		usage x509.ExtKeyUsage
		names []string
	}{
		"server":                   {x509.ExtKeyUsageServerAuth, []string{"localhost"}},
		"client-kitchen":           {x509.ExtKeyUsageClientAuth, []string{"kitchen"}},
		"client-hall.ground-floor": {x509.ExtKeyUsageClientAuth, []string{"hall.ground-floor"}},
	} {
		c := load(t, filepath.Join(pki, file+".crt"))
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{test.usage}}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if len(c.ExtKeyUsage) != 1 || !slices.Equal(c.DNSNames, test.names) {
			t.Errorf("%s: got the usage %v and the names %v, want %v and %v", file, c.ExtKeyUsage, c.DNSNames, test.usage, test.names)
		}
		if key, ok := c.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			t.Errorf("%s: got another key than one of P-256", file)
		}
		if life := c.NotAfter.Sub(c.NotBefore); life > 25*time.Hour {
			t.Errorf("%s: got a certificate for %v, want one for a day", file, life)
		}
	}
	files, err := filepath.Glob(filepath.Join(pki, "*"))
	if err != nil || len(files) != 8 {
		t.Errorf("got %v, %v, want four certificates and four keys", files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || (strings.HasSuffix(f, ".key") && info.Mode().Perm() != 0o600) {
			t.Errorf("%s: got the mode %v, %v, want 0600", f, info.Mode(), err)
		}
	}
	before := load(t, filepath.Join(pki, "client-kitchen.crt"))
	script(t, pki, "renew")
	if load(t, filepath.Join(pki, "client-kitchen.crt")).Equal(before) {
		t.Error("got the same certificate after renew, want another")
	}
	if !load(t, filepath.Join(pki, "authority.crt")).Equal(authority) {
		t.Error("got another authority after renew, want the same")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "certs.sh", "new", "../kitchen")
	cmd.Env = append(os.Environ(), "PKI="+pki)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("got no error for a client of the name ../kitchen:\n%s", out)
	}
}

// What README.md shows: certificates are renewed, the client that is there stays, and
// the next one uses the new ones.
func TestRenew(t *testing.T) {
	pki := t.TempDir()
	script(t, pki)
	serial := func(name string) string {
		return fmt.Sprintf("%x", load(t, filepath.Join(pki, name+".crt")).SerialNumber)
	}
	atServer, addr := startServer(t, pki)
	kitchen := startClient(t, pki, "kitchen", addr)
	kitchen.want(t, 0, `kitchen has connected: direct\n`)
	kitchen.want(t, 0, `kitchen shows push \d+; the server's certificate: `+serial("server")+",")
	old := serial("client-kitchen")
	_, n := atServer.want(t, 0, `kitchen has shown push \d+; its certificate: `+old+",")

	script(t, pki, "renew")
	atServer.want(t, n, `level=INFO msg="certificate files were read again".* files=certificate\n`)
	hall := startClient(t, pki, "hall", addr)
	hall.want(t, 0, `hall shows push \d+; the server's certificate: `+serial("server")+",")
	_, n = atServer.want(t, n, `hall has shown push \d+; its certificate: `+serial("client-hall")+",")
	atServer.want(t, n, `kitchen has shown push \d+; its certificate: `+old+",")
	if text, _ := atServer.read(); strings.Count(text, "kitchen has come") != 1 || strings.Contains(text, "has gone") || strings.Contains(text, "push to") {
		t.Errorf("got an interruption of a client, want none:\n%s", text)
	}
}

// stranger starts a client whose certificate is of some authority.
func stranger(t *testing.T, name, addr string, files certs.Files) *lines {
	t.Helper()
	return start(t, "", func(ctx context.Context, p program) error { return p.clientWith(ctx, name, addr, files) })
}

func TestClientOfAnotherAuthority(t *testing.T) {
	pki, other := t.TempDir(), t.TempDir()
	script(t, pki)
	script(t, other)
	atServer, addr := startServer(t, pki)
	files := certs.Files{
		Certificate: filepath.Join(other, "client-kitchen.crt"), Key: filepath.Join(other, "client-kitchen.key"),
		Authorities: filepath.Join(pki, "authority.crt"),
	}
	stranger(t, "kitchen", addr, files).want(t, 0, `kitchen cannot connect: `)
	w, err := certs.Watch(files)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cfg := w.Client("127.0.0.1")
	cfg.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("got %v of the server, want a word on the authority", err)
	}

	// And a server of another authority is none for a client.
	files = certs.Files{
		Certificate: filepath.Join(pki, "client-hall.crt"), Key: filepath.Join(pki, "client-hall.key"),
		Authorities: filepath.Join(other, "authority.crt"),
	}
	stranger(t, "hall", addr, files).want(t, 0, `hall cannot connect: .*certificate signed by unknown authority`)
	if text, _ := atServer.read(); strings.Contains(text, "has come") {
		t.Errorf("got a client of another authority:\n%s", text)
	}
}

// A certificate is for the name that it has.
func TestNameOfAnother(t *testing.T) {
	pki := t.TempDir()
	script(t, pki)
	atServer, addr := startServer(t, pki)
	stranger(t, "hall", addr, certs.Files{
		Certificate: filepath.Join(pki, "client-kitchen.crt"), Key: filepath.Join(pki, "client-kitchen.key"),
		Authorities: filepath.Join(pki, "authority.crt"),
	}).want(t, 0, `ended: .*PermissionDenied|hall cannot connect: `)
	startClient(t, pki, "kitchen", addr).want(t, 0, `kitchen has connected`)
	atServer.want(t, 0, `kitchen has come`)
	if text, _ := atServer.read(); strings.Contains(text, "hall has come") {
		t.Errorf("got hall with the certificate of kitchen:\n%s", text)
	}
}
