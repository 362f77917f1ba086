package pythonpeer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// long is more than anything here takes.
const long = time.Minute

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// limits are Python's pushtunnel.Limits.
type limits struct {
	MaxCalls    int   `json:"max_calls,omitempty"`
	CallWindow  int64 `json:"call_window,omitempty"`
	MaxMetadata int   `json:"max_metadata,omitempty"`
	MaxMessage  int64 `json:"max_message,omitempty"`
}

type options struct {
	Namespace string            `json:"namespace,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Limits    limits            `json:"limits,omitzero"`
}

// peer is a client in Python.
type peer struct {
	lines   chan string
	in      io.WriteCloser
	process *os.Process
}

// startPeer starts a client, until the test ends.
func startPeer(t *testing.T, addr, name string, o options) *peer {
	t.Helper()
	config, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return startPython(t, filepath.Join(peerDir, "peer.py"), addr, name, string(config))
}

// startPython starts a program, until the test ends.
func startPython(t *testing.T, args ...string) *peer {
	t.Helper()
	python := os.Getenv(pythonEnv)
	if python == "" {
		t.Skipf("no Python: run make interop-python, which sets %s", pythonEnv)
	}
	cmd := exec.Command(python, args...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+pythonPath, "PYTHONDONTWRITEBYTECODE=1")
	var logged bytes.Buffer
	cmd.Stderr = &logged
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &peer{lines: make(chan string, 10_000), in: in, process: cmd.Process}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	})
	t.Cleanup(func() {
		cmd.Process.Kill()
		reading.Wait()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%v has logged:\n%s", args, logged.String())
		} else if strings.Contains(logged.String(), "Traceback") {
			t.Errorf("%v has failed:\n%s", args, logged.String())
		}
	})
	return p
}

// await returns the next line that begins with the word, without it. It drops those before.
func (p *peer) await(t *testing.T, word string) string {
	t.Helper()
	ctx := within(t, long)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("the client has ended without %q", word)
			}
			if rest, ok := strings.CutPrefix(line, word); ok {
				return strings.TrimSpace(rest)
			}
		case <-ctx.Done():
			t.Fatalf("the client has not said %q", word)
		}
	}
}

// stop asks the client to leave in order.
func (p *peer) stop() { io.WriteString(p.in, "stop\n") }
