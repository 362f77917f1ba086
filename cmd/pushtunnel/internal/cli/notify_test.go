//go:build unix

package cli_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// manager listens as a service manager does, and names its socket to the server.
func manager(t *testing.T, name string) (next func() string) {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return func() string {
		t.Helper()
		buffer := make([]byte, 1000)
		n, err := c.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}
}

// socketDir is a folder whose path is short enough for a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pt") //nolint:usetesting // t.TempDir has the test's name in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// The service manager hears when clients can connect, and when the server begins to
// stop, before it has stopped.
func TestServiceManagerIsTold(t *testing.T) {
	next := manager(t, filepath.Join(socketDir(t), "notify"))
	p, server := serve(t, "--drain-delay=50ms")
	if got := next(); got != "READY=1" {
		t.Errorf("got %q, want READY=1", got)
	}
	connect(t, server, "c1")
	p.stop()
	if got := next(); got != "STOPPING=1" {
		t.Errorf("got %q, want STOPPING=1", got)
	}
	if code := p.end(t); code != 0 {
		t.Errorf("got exit code %d and %q, want 0", code, p.err)
	}
}

// A service manager that is not there is no reason not to serve.
func TestServiceManagerIsGone(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(socketDir(t), "nobody"))
	p, _ := serve(t)
	p.logged(t, "the service manager could not be told")
	if code := p.end(t); code != 0 || strings.Count(p.err.String(), "could not be told") != 2 {
		t.Errorf("got exit code %d and %q, want 0 and two warnings", code, p.err)
	}
}
