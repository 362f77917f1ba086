package stocktools

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// programs is where the command pushtunnel is built.
var programs string

func TestMain(m *testing.M) {
	code := func() int {
		var err error
		if programs, err = os.MkdirTemp("", "pushtunnel"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(programs)
		return m.Run()
	}()
	os.Exit(code)
}

// tool returns the path of a program that go.mod pins. Go builds it when it is asked for
// the first time, and keeps it.
func tool(t *testing.T, name string) string {
	t.Helper()
	if os.Getenv("PUSHTUNNEL_TOOLS") == "" {
		t.Skip("the programs take a while to build: make interop-tools")
	}
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-n", name)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programs, "pushtunnel")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/pushtunnel")
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	return path, cmd.Run()
})

// run runs a program to its end.
func run(t *testing.T, path string, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// process is the command pushtunnel while it runs.
type process struct {
	cmd *exec.Cmd
	log *bufio.Scanner
}

// start starts the command. It is asked to stop at the end of the test.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(path, args...)}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.log = bufio.NewScanner(log)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState != nil {
			return
		}
		p.signal(t, syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, log)
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("pushtunnel %s: %v", args[0], err)
		}
	})
	return p
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Error(err)
	}
}

// line waits for a line of the log that has a text.
func (p *process) line(t *testing.T, text string) string {
	t.Helper()
	for p.log.Scan() {
		if strings.Contains(p.log.Text(), text) {
			return p.log.Text()
		}
	}
	t.Fatalf("the log has ended without %q", text)
	return ""
}

// serve starts a server and returns its address.
func serve(t *testing.T, args ...string) (p *process, addr string) {
	t.Helper()
	p = start(t, append([]string{"serve", "--listen=127.0.0.1:0", "--admin-listen=", "--log-format=json"}, args...)...)
	var line struct{ Addr string }
	if err := json.Unmarshal([]byte(p.line(t, `"msg":"serving"`)), &line); err != nil {
		t.Fatal(err)
	}
	return p, line.Addr
}

// dial returns a connection without TLS.
func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// connect connects a client "c1" and returns what disconnects it.
func connect(t *testing.T, cc *grpc.ClientConn, register func(*client.Client), opts ...client.Option) (leave func()) {
	t.Helper()
	connected := make(chan struct{}, 10)
	hooks := client.WithHooks(client.Hooks{Connected: func(tunnel.Peer) { connected <- struct{}{} }})
	c := client.New(cc, "c1", append(opts, hooks)...)
	register(c)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	var err error
	go func() {
		defer close(stopped)
		err = c.Serve(ctx)
	}()
	leave = sync.OnceFunc(func() {
		cancel()
		<-stopped
	})
	t.Cleanup(leave)
	select {
	case <-connected:
	case <-stopped:
		t.Fatalf("the client has stopped: %v", err)
	}
	return leave
}
