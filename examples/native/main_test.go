package main

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is what both ends print.
type lines struct {
	mu  sync.Mutex
	b   bytes.Buffer
	saw chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.saw <- struct{}{}:
	default:
	}
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestServerAndClient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out := &lines{saw: make(chan struct{}, 1)}
	var ends sync.WaitGroup
	for _, args := range [][]string{{"server", addr}, {"client", addr, "c7"}} {
		ends.Go(func() {
			if err := command(ctx, args, out); err != nil {
				t.Errorf("%v: %v", args, err)
			}
		})
	}
	want := []string{"c7 has come from", "c7 got a push: from Go push", "c7 (Go) has push", "echo: hello from c7"}
	for _, w := range want {
		for !strings.Contains(out.String(), w) {
			select {
			case <-out.saw:
			case <-ctx.Done():
				t.Fatalf("%q was not printed:\n%s", w, out)
			}
		}
	}
	cancel()
	ends.Wait()
}
