//go:build unix

package deploytest

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pushtunnel/pushtunnel/internal/certtest"
)

const deploy = "../../deploy"

// root is an empty folder for the image's program.
var root string

func TestMain(m *testing.M) {
	code := func() int {
		var err error
		if root, err = os.MkdirTemp("", "pushtunnel"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(root)
		if err := os.Chmod(root, 0o755); err != nil { //nolint:gosec // as the root of an image
			panic(err)
		}
		return m.Run()
	}()
	os.Exit(code)
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// program builds what the Dockerfile builds, by the same command, and returns its path.
func program(t *testing.T) string {
	t.Helper()
	command := buildCommand(t)
	if err := build(command); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return filepath.Join(root, "pushtunnel")
}

var once sync.Once

var built error

func build(command string) error {
	once.Do(func() {
		cmd := exec.Command("sh", "-c", strings.Replace(command, "-o /pushtunnel ", "-o "+root+"/pushtunnel ", 1))
		cmd.Dir, cmd.Stderr = "../..", os.Stderr
		built = cmd.Run()
	})
	return built
}

// process is a server that runs.
type process struct {
	cmd  *exec.Cmd
	pipe io.Reader
	log  *bufio.Scanner
}

// start starts a command that logs JSON.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, pipe: pipe, log: bufio.NewScanner(pipe)}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			p.terminate(t)
			p.wait(t)
		}
	})
	return p
}

// logged waits for a message and returns its attributes.
func (p *process) logged(t *testing.T, message string) map[string]any {
	t.Helper()
	for p.log.Scan() {
		var attrs map[string]any
		if err := json.Unmarshal(p.log.Bytes(), &attrs); err != nil {
			t.Fatalf("%v: %s", err, p.log.Text())
		}
		if attrs["msg"] == message {
			return attrs
		}
	}
	t.Fatalf("the log has ended without %q", message)
	return nil
}

// terminate sends what a container's runtime and systemd send.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// wait waits for the end, which must be in order.
func (p *process) wait(t *testing.T) {
	t.Helper()
	for p.log.Scan() {
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the server: %v, want it to end in order", err)
	}
}

const tokenFile = `
clients: [{name: c1, token: c1-c1-c1-c1-c1-c1}]
callers: [{name: backend, token: backend-backend-backend}]
`

// secret writes what the secret of Kubernetes has, and returns the folder, and the
// authority of the certificate, PEM.
func secret(t *testing.T) (dir string, authority []byte) {
	t.Helper()
	dir = t.TempDir()
	a := certtest.New(t)
	certificate := a.Issue(t, "pushtunnel", "pushtunnel-pods", "127.0.0.1")
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"tls.crt":     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}),
		"tls.key":     pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"tokens.yaml": []byte(tokenFile),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, a.PEM()
}
