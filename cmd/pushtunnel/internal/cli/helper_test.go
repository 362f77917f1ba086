package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/cli"
)

// screen is what a command has printed.
type screen struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and made anew with each write
}

func newScreen() *screen { return &screen{changed: make(chan struct{})} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// process is a command that runs.
type process struct {
	out, err *screen
	stop     context.CancelFunc // what SIGTERM does
	done     chan struct{}
	code     int // when done is closed
}

// start runs a command until the test ends, or longer if it takes its time.
func start(t *testing.T, in io.Reader, args ...string) *process {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &process{out: newScreen(), err: newScreen(), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.code = cli.Run(ctx, args, cli.Streams{In: in, Out: p.out, Err: p.err})
	}()
	t.Cleanup(func() { p.end(t) })
	return p
}

// end stops the command and returns its exit code.
func (p *process) end(t *testing.T) int {
	t.Helper()
	p.stop()
	<-p.done
	return p.code
}

// line waits until a line with this text is printed, and returns it.
func (p *process) line(t *testing.T, s *screen, text string) string {
	t.Helper()
	for ended := false; ; {
		s.mu.Lock()
		changed, all := s.changed, s.text.String()
		s.mu.Unlock()
		for line := range strings.Lines(all) {
			if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
				return strings.TrimSpace(line)
			}
		}
		if ended {
			t.Fatalf("the command ended with %d; got %q and %q, want %q in it", p.code, p.out, p.err, text)
		}
		select {
		case <-changed:
		case <-p.done:
			ended = true
		case <-t.Context().Done():
			t.Fatalf("got %q, want %q in it", all, text)
		}
	}
}

// serve starts a server on free ports, and returns what to add to commands that are for
// it.
func serve(t *testing.T, args ...string) (p *process, server []string) {
	t.Helper()
	all := append([]string{"serve", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--log-format=json"}, args...)
	p = start(t, nil, all...)
	return p, []string{"--server=" + p.logged(t, "serving")["addr"].(string)}
}

// logged waits for a message in the log, and returns its attributes.
func (p *process) logged(t *testing.T, message string) map[string]any {
	t.Helper()
	var attrs map[string]any
	line := p.line(t, p.err, `"msg":"`+message+`"`)
	if err := json.Unmarshal([]byte(line), &attrs); err != nil {
		t.Fatal(err)
	}
	return attrs
}

// connect starts a client and returns when it is connected.
func connect(t *testing.T, server []string, args ...string) *process {
	t.Helper()
	p := start(t, nil, append(append([]string{"connect"}, args...), server...)...)
	p.line(t, p.err, "connected to")
	return p
}

// result is how a command has ended.
type result struct {
	code     int
	out, err string
}

// run runs a command to its end.
func run(t *testing.T, args ...string) result {
	t.Helper()
	return pipe(t, "", args...)
}

func pipe(t *testing.T, in string, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	code := cli.Run(t.Context(), args, cli.Streams{In: strings.NewReader(in), Out: &out, Err: &err})
	return result{code: code, out: out.String(), err: err.String()}
}

// with appends the server to a command.
func with(server []string, args ...string) []string { return append(args, server...) }
