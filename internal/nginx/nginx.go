//go:build unix

package nginx

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Env is the environment variable that names the nginx to test with.
const Env = "PUSHTUNNEL_NGINX"

// Binary returns the nginx to test with. It skips the test if there is none.
func Binary(tb testing.TB) string {
	tb.Helper()
	b := os.Getenv(Env)
	if b == "" {
		tb.Skipf("no nginx: run make interop-nginx, which sets %s", Env)
	}
	return b
}

// Proxy is an nginx. Its methods may be called by one goroutine at a time.
type Proxy struct {
	binary string
	dir    string
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has been waited for
	log    *log
}

// Start starts an nginx with this configuration, which has these files beside it. It
// logs to stderr, on level notice. It is killed at the end of the test.
func Start(tb testing.TB, binary, config string, files map[string][]byte) *Proxy {
	tb.Helper()
	p := &Proxy{binary: binary, dir: tb.TempDir(), log: newLog()}
	p.write(tb, "nginx.conf", []byte(config))
	for name, content := range files {
		p.write(tb, name, content)
	}
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("nginx has logged:\n%s", p.log)
		}
	})
	p.Run(tb)
	return p
}

func (p *Proxy) write(tb testing.TB, name string, content []byte) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), content, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// Run starts it again after Kill. It returns when its workers are there.
func (p *Proxy) Run(tb testing.TB) {
	tb.Helper()
	before := p.log.count(workerStarted)
	p.cmd = p.command()
	// Workers outlive a master that was killed: they share its group.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := p.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	p.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan<- struct{}) {
		p.log.read(out)
		cmd.Wait() //nolint:errcheck // it is killed
		close(exited)
	}(p.cmd, p.exited)
	p.await(tb, workerStarted, before+1)
}

// command is nginx with its files here, and these arguments.
func (p *Proxy) command(args ...string) *exec.Cmd {
	return exec.Command(p.binary, append([]string{"-p", p.dir, "-c", "nginx.conf", "-e", "stderr"}, args...)...)
}

// What nginx logs when it starts, and when a reload lets a worker go.
const (
	workerStarted  = "start worker process "
	workerStopping = "gracefully shutting down"
	workerStopped  = " exited with code 0"
)

// Reload is "nginx -s reload". It returns when new workers are there and the old
// ones have begun to end.
func (p *Proxy) Reload(tb testing.TB) {
	tb.Helper()
	started, stopping := p.log.count(workerStarted), p.log.count(workerStopping)
	if out, err := p.command("-s", "reload").CombinedOutput(); err != nil {
		tb.Fatalf("nginx -s reload: %v: %s", err, out)
	}
	p.await(tb, workerStarted, started+1)
	p.await(tb, workerStopping, stopping+1)
}

// Stopped returns how many workers have ended in order.
func (p *Proxy) Stopped() int { return p.log.count(workerStopped) }

// AwaitStopped waits until so many workers have ended in order.
func (p *Proxy) AwaitStopped(tb testing.TB, n int) {
	tb.Helper()
	p.await(tb, workerStopped, n)
}

// await waits until a text has been logged so many times.
func (p *Proxy) await(tb testing.TB, text string, times int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	for {
		n, more := p.log.state(text)
		if n >= times {
			return
		}
		select {
		case <-more:
		case <-p.exited:
			tb.Fatalf("nginx has ended; it has logged:\n%s", p.log)
		case <-ctx.Done():
			tb.Fatalf("nginx has logged %q %d times, want %d", text, n, times)
		}
	}
}

// Kill ends it and all workers at once.
func (p *Proxy) Kill() {
	if p.cmd == nil || p.exited == nil {
		return
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
	<-p.exited
}

// log is what nginx has logged.
type log struct {
	// mu guards what follows.
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed when a line has come
}

func newLog() *log { return &log{more: make(chan struct{})} }

func (l *log) read(r io.Reader) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		l.mu.Lock()
		l.text.WriteString(s.Text() + "\n")
		close(l.more)
		l.more = make(chan struct{})
		l.mu.Unlock()
	}
}

// state returns how often a text has come, and what is closed when more has.
func (l *log) state(text string) (n int, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text), l.more
}

func (l *log) count(text string) int {
	n, _ := l.state(text)
	return n
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
