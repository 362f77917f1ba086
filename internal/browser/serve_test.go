package browser

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// root is where the library is.
const root = "../.."

// program builds pushtunnel, once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pushtunnel-browser")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "pushtunnel")
	build := exec.Command("go", "build", "-o", binary, "./cmd/pushtunnel") //nolint:noctx // go test has a time limit
	build.Dir, build.Stderr = root, os.Stderr
	return binary, build.Run()
})

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv(chromium) != "" {
		if binary, err := program(); err == nil {
			_ = os.RemoveAll(filepath.Dir(binary))
		}
	}
	os.Exit(code)
}

// process is a "pushtunnel serve".
type process struct {
	addr, admin, native string
	cmd                 *exec.Cmd
	exited              chan struct{}
}

// serve starts a server, on free ports unless args say otherwise.
func serve(t *testing.T, args ...string) *process {
	t.Helper()
	binary, err := program()
	if err != nil {
		t.Fatalf("building pushtunnel: %v", err)
	}
	all := slices.Concat([]string{
		"serve", "--log-format=json", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--native-listen=127.0.0.1:0",
		"--heartbeat=1s", "--shutdown-timeout=1s",
	}, args)
	p := &process{cmd: exec.Command(binary, all...), exited: make(chan struct{})} //nolint:noctx // stop ends it
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop(t) })
	lines := bufio.NewScanner(log)
	var said strings.Builder
	for lines.Scan() {
		var line struct{ Msg, Addr, Admin, Native string }
		said.WriteString(lines.Text() + "\n")
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			p.addr, p.admin, p.native = line.Addr, line.Admin, line.Native
			break
		}
	}
	if p.addr == "" {
		t.Fatalf("the server does not serve: %s", said.String())
	}
	go func() {
		defer close(p.exited)
		_, _ = io.Copy(io.Discard, log)
		_ = p.cmd.Wait()
	}()
	return p
}

// stop ends the server, as an operator would, and waits until it has ended.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if p.addr == "" { // it has never served
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.exited
}
