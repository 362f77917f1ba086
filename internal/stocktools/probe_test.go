package stocktools

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/certtest"
)

// The exit codes of grpc-health-probe.
const (
	wellCode   = 0
	failedCode = 3 // the call for the health has failed
	illCode    = 4
)

// patient makes the probe wait for as long as a slow machine takes.
var patient = []string{"-connect-timeout=1m", "-rpc-timeout=1m"}

// register gives a client the health of two things.
func register(c *client.Client) {
	h := health.NewServer()
	h.SetServingStatus("lamp", healthpb.HealthCheckResponse_SERVING)
	h.SetServingStatus("oven", healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(c, h)
}

// TestProbe probes a server, and a client through it.
func TestProbe(t *testing.T) {
	probe := tool(t, "grpc-health-probe")
	p, addr := serve(t, "--drain-delay=1h")
	ask := func(args ...string) (int, string) {
		return run(t, probe, append(append([]string{"-addr", addr}, patient...), args...)...)
	}
	leave := connect(t, dial(t, addr), register)
	c1 := []string{"-rpc-header", "pushtunnel-client: c1"}

	for name, test := range map[string]struct {
		args []string
		code int
		out  string // has
	}{
		"the server":                   {nil, wellCode, "SERVING"},
		"what a client has, of it":     {[]string{"-service=lamp"}, failedCode, "unknown service"},
		"the client":                   {c1, wellCode, "SERVING"},
		"what is well":                 {append(c1, "-service=lamp"), wellCode, "SERVING"},
		"what is not":                  {append(c1, "-service=oven"), illCode, "NOT_SERVING"},
		"what it does not have":        {append(c1, "-service=door"), failedCode, "unknown service"},
		"another client":               {[]string{"-rpc-header", "pushtunnel-client: c2"}, failedCode, `client "c2" is not connected`},
		"a client of another name":     {append(c1, "-rpc-header", "pushtunnel-namespace: acme"), failedCode, "is not connected"},
		"a header that is a mistake":   {append(c1, "-rpc-header", "pushtunnel-namspace: acme"), failedCode, "pushtunnel-namspace"},
		"a client that may yet come":   {[]string{"-rpc-timeout=50ms", "-rpc-header", "pushtunnel-client: c2", "-rpc-header", "pushtunnel-wait-for-ready: true"}, failedCode, "within 50ms"},
		"a client that is there, soon": {append(c1, "-rpc-header", "pushtunnel-wait-for-ready: true"), wellCode, "SERVING"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, out := ask(test.args...); code != test.code || !strings.Contains(out, test.out) {
				t.Errorf("got exit code %d and %q, want %d and %q", code, out, test.code, test.out)
			}
		})
	}

	// until asks again until it gets an answer: what it is about takes effect a little later.
	until := func(t *testing.T, code int, has string, args ...string) {
		t.Helper()
		var last int
		var out string
		for range 1000 {
			if last, out = ask(args...); last == code && strings.Contains(out, has) {
				return
			}
		}
		t.Errorf("got exit code %d and %q in the end, want %d and %q", last, out, code, has)
	}
	t.Run("a server that is asked to stop", func(t *testing.T) {
		p.signal(t, syscall.SIGTERM)
		p.line(t, `"msg":"stopping"`)
		until(t, illCode, "NOT_SERVING")
		if code, out := ask(c1...); code != wellCode {
			t.Errorf("the client: got exit code %d and %q, want it to be well until the server has drained", code, out)
		}
	})
	t.Run("a client that has gone", func(t *testing.T) {
		leave()
		until(t, failedCode, `client "c1" is not connected`, c1...)
	})
	_ = p.cmd.Process.Kill() // it would drain for an hour
	_ = p.cmd.Wait()
}

const tokenFile = `
clients: [{name: c1, token: c1-c1-c1-c1-c1-c1}]
callers: [{name: backend, token: backend-backend-backend}]
`

// secured starts a server that has TLS and wants tokens, with a client. It returns the
// server's address, and the file of the authority that has signed its certificate.
func secured(t *testing.T, register func(*client.Client)) (addr, ca string) {
	t.Helper()
	authority := certtest.New(t)
	certificate := authority.Issue(t, "127.0.0.1")
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca = file("ca.pem", authority.PEM())
	_, addr = serve(t,
		"--tls-cert="+file("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})),
		"--tls-key="+file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		"--tokens="+file("tokens.yaml", []byte(tokenFile)))
	transport, err := credentials.NewClientTLSFromFile(ca, "")
	if err != nil {
		t.Fatal(err)
	}
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(transport))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	connect(t, cc, register, client.WithMetadata(metadata.Pairs("authorization", "Bearer c1-c1-c1-c1-c1-c1")))
	return addr, ca
}

// TestProbeSecured: the server tells everybody how it is. How a client is it tells
// callers.
func TestProbeSecured(t *testing.T) {
	probe := tool(t, "grpc-health-probe")
	addr, ca := secured(t, register)
	for name, test := range map[string]struct {
		args []string
		code int
		out  string // has
	}{
		"the server":           {nil, wellCode, "SERVING"},
		"the client, a caller": {[]string{"-rpc-header", "pushtunnel-client: c1", "-rpc-header", "authorization: Bearer backend-backend-backend"}, wellCode, "SERVING"},
		"the client, nobody":   {[]string{"-rpc-header", "pushtunnel-client: c1"}, failedCode, "Unauthenticated"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-addr", addr, "-tls", "-tls-ca-cert", ca}, patient...)
			if code, out := run(t, probe, append(args, test.args...)...); code != test.code || !strings.Contains(out, test.out) {
				t.Errorf("got exit code %d and %q, want %d and %q", code, out, test.code, test.out)
			}
		})
	}
}
