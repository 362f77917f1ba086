package server

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// comeAndGo lets a client of this name connect and leave. It goes through all of
// a session's life but gRPC.
func comeAndGo(t *testing.T, s *Server, name string) {
	ours, theirs := tunnel.Pipe()
	served := make(chan error, 1)
	go func() {
		link, err := s.open(metadata.NewIncomingContext(t.Context(), metadata.Pairs(tunnel.NameKey, name)), ours, "test")
		if err == nil {
			link.Wait() // not only Done: it has left the registry then
		}
		served <- err
	}()
	c, err := tunnel.Dial(t.Context(), theirs, tunnel.Config{})
	if err != nil {
		t.Error(err)
		return
	}
	if err := c.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	c.Wait()
	<-served
}

// heap returns the size of the live heap in bytes.
func heap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // not that large
}

// A name that has gone leaves nothing behind: neither one that was connected, nor
// one that was called in vain, nor one that a call waited for. This test needs no
// clock and no network, and is not in a bubble: there it would take twice as long.
func TestADepartedNameLeavesNothingBehind(t *testing.T) {
	count, most := 100_000, int64(1<<20)
	if testing.Short() {
		count = 5_000
	}
	s := New(WithConnectRate(0, 0))
	defer s.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	visit := func(from, to int) {
		const workers = 4
		var done sync.WaitGroup
		for w := range workers {
			done.Go(func() {
				for i := from + w; i < to; i += workers {
					name := fmt.Sprintf("client-%d", i)
					comeAndGo(t, s, name)
					s.Client(name).Invoke(t.Context(), "/s/m", nil, nil)
					s.reg.wait(ended, key{name: "somebody like " + name}, nil) // nor there
				}
			})
		}
		done.Wait()
	}
	visit(0, 1000)
	before, goroutines := heap(), runtime.NumGoroutine()
	visit(1000, 1000+count)
	if names, ids, waiters := s.RegistrySize(); names+ids+waiters != 0 {
		t.Errorf("got %d names, %d sessions and %d waiters in the registry, want none", names, ids, waiters)
	}
	for range 1000 {
		runtime.Gosched() // the last ones may be about to end
	}
	if got := runtime.NumGoroutine(); got > goroutines+10 {
		t.Errorf("got %d goroutines, want no more than the %d before", got, goroutines)
	}
	// 10 bytes for each name.
	after := heap()
	if got := after - before; got > most {
		t.Errorf("got %d bytes more in the heap after %d names, want no more than %d", got, count, most)
	}
	t.Logf("%d names: %d bytes more in the heap", count, after-before)
}
