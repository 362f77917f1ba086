// Package javapeer runs real brpc-java servers and clients for tests. They are
// built by "make interop-java", which also sets what Versions reads.
package javapeer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Env is the environment variable that names the versions of brpc-java to test
// with, with commas between.
const Env = "PUSHTUNNEL_BRPC_JAVA"

// Versions returns the versions to test with. It skips the test if there are
// none.
func Versions(tb testing.TB) []string {
	tb.Helper()
	v := os.Getenv(Env)
	if v == "" {
		tb.Skipf("no Java peers: run make interop-java, which sets %s", Env)
	}
	return strings.Split(v, ",")
}

// Peer is a Java process. Its methods may be called by any goroutine.
type Peer struct {
	cmd    *exec.Cmd
	exited chan struct{}

	// mu guards what follows.
	mu      sync.Mutex
	in      io.WriteCloser
	last    int
	waiting map[string]chan string
}

// ready is the id of the lines that are no answers.
const ready = "0"

// start starts a program of package interop.
func start(tb testing.TB, version, program string, args ...string) *Peer {
	tb.Helper()
	root := root(tb)
	target := filepath.Join(root, "internal", "javapeer", "java", "target", version)
	all := append([]string{
		"--add-opens", "java.base/java.lang=ALL-UNNAMED", "--add-opens", "java.base/java.util=ALL-UNNAMED",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=" + logLevel(),
		"-cp", filepath.Join(target, "classes") + string(os.PathListSeparator) + filepath.Join(target, "dependency", "*"),
		"interop." + program,
	}, args...)
	p := &Peer{cmd: exec.Command("java", all...), exited: make(chan struct{}), waiting: map[string]chan string{ready: make(chan string, 10)}}
	var logged lockedBuffer
	p.cmd.Stderr = &logged
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go p.read(out)
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("%s %v has logged:\n%s", program, args, logged.String())
		}
	})
	return p
}

func logLevel() string {
	if l := os.Getenv(Env + "_LOG"); l != "" {
		return l
	}
	return "error"
}

// root is the top of the repository.
func root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "internal", "javapeer", "java", "pom.xml")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			tb.Fatal("this is not the repository")
		}
		dir = up
	}
}

// read gives the lines that the process prints to those that wait for them.
func (p *Peer) read(out io.Reader) {
	defer close(p.exited)
	s := bufio.NewScanner(out)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		id, rest, _ := strings.Cut(s.Text(), " ")
		p.mu.Lock()
		if c := p.waiting[id]; c != nil {
			c <- rest
		}
		if id != ready {
			delete(p.waiting, id)
		}
		p.mu.Unlock()
	}
}

// Do runs a command and returns what it has printed, or its error.
func (p *Peer) Do(ctx context.Context, command string, args ...any) (string, error) {
	p.mu.Lock()
	p.last++
	id := strconv.Itoa(p.last)
	answer := make(chan string, 1)
	p.waiting[id] = answer
	words := []string{id, command}
	for _, a := range args {
		words = append(words, fmt.Sprint(a))
	}
	_, err := io.WriteString(p.in, strings.Join(words, " ")+"\n")
	p.mu.Unlock()
	if err != nil {
		return "", err
	}
	return p.await(ctx, answer)
}

func (p *Peer) await(ctx context.Context, answer chan string) (string, error) {
	select {
	case a := <-answer:
		word, rest, _ := strings.Cut(a, " ")
		if word != "ok" {
			return "", errors.New(rest)
		}
		return rest, nil
	case <-ctx.Done():
		return "", ctx.Err()
	case <-p.exited:
		return "", errors.New("the Java process has ended")
	}
}

// Threads returns how many worker threads are alive.
func (p *Peer) Threads(tb testing.TB) int {
	tb.Helper()
	n, err := p.Do(tb.Context(), "threads")
	if err != nil {
		tb.Fatal(err)
	}
	i, err := strconv.Atoi(n)
	if err != nil {
		tb.Fatal(err)
	}
	return i
}

// Kill ends the process at once.
func (p *Peer) Kill() {
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended
	<-p.exited
	p.cmd.Wait() //nolint:errcheck // it was killed
}

// Server is a brpc-java server.
type Server struct {
	*Peer
	Addr string
}

// StartServer starts a server that closes connections that are silent for so many
// seconds; 0: never. 0 workThreads means as many as brpc-java likes.
func StartServer(tb testing.TB, version string, idleSeconds, workThreads int) *Server {
	tb.Helper()
	p := start(tb, version, "JavaServer", strconv.Itoa(idleSeconds), strconv.Itoa(workThreads))
	port, err := p.await(tb.Context(), p.waiting[ready])
	if err != nil {
		tb.Fatal(err)
	}
	return &Server{Peer: p, Addr: "127.0.0.1:" + port}
}

// Client says how a brpc-java client is set up.
type Client struct {
	Addr        string
	Name        string // empty: none
	Label       string // what it answers to Who
	Conns       int    // 0: 8
	DelayMillis int    // between its first connection and its push service
	List        bool   // by a naming URL, with health checks
	ReadTimeout int    // in ms; 0: 1000
	WorkThreads int    // 0: 4; negative: as many as brpc-java likes
	Early       bool   // do not wait until it is ready
}

// StartClient starts a client, and waits until it serves pushes.
func StartClient(tb testing.TB, version string, c Client) *Peer {
	tb.Helper()
	or := func(v, def int) string {
		if v == 0 {
			v = def
		}
		return strconv.Itoa(v)
	}
	name, kind := c.Name, "endpoint"
	if name == "" {
		name = "-"
	}
	if c.List {
		kind = "list"
	}
	label := c.Label
	if label == "" {
		label = name
	}
	p := start(tb, version, "JavaClient", c.Addr, name, label, or(c.Conns, 8), strconv.Itoa(c.DelayMillis), kind, or(c.ReadTimeout, 1000), or(c.WorkThreads, 4))
	lines := 2
	if c.Early {
		lines = 1
	}
	for range lines {
		if _, err := p.await(tb.Context(), p.waiting[ready]); err != nil {
			tb.Fatal(err)
		}
	}
	return p
}

// lockedBuffer is what the process logs.
type lockedBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const most = 64 << 10
	if len(l.b) < most {
		l.b = append(l.b, p...)
	}
	return len(p), nil
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}
