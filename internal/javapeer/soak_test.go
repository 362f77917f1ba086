package javapeer

import (
	"context"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/internal/javapeer/interoppb"
	"github.com/pushtunnel/pushtunnel/native"
)

// rounds is how often a soak test cuts a connection: 20 times, or as
// PUSHTUNNEL_SOAK says. 20000 take about an hour for each version:
// make interop-java TESTFLAGS="-run Soak -timeout 3h".
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("PUSHTUNNEL_SOAK")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal("PUSHTUNNEL_SOAK:", err)
	}
	return n
}

// settled waits until no more goroutines are there than before.
func settled(t *testing.T, before int) {
	t.Helper()
	for ctx := within(t, long); runtime.NumGoroutine() > before; runtime.Gosched() {
		if ctx.Err() != nil {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// Connections of a Java client are cut while it calls and is pushed to. Nothing
// stays behind, and it keeps its threads.
func TestSoakGoServerJavaClient(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		g := startGoServer(t)
		r := record(t, g.addr)
		p := startClient(t, version, Client{Addr: r.addr, Name: "c1", List: true, ReadTimeout: 2000})
		await(t, g.came, "client")
		push := func() error {
			_, err := g.push("c1").PushHi(within(t, long), &pb.TextRequest{Text: "x"}, grpc.WaitForReady(true))
			return err
		}
		if err := push(); err != nil {
			t.Fatal(err)
		}
		pushed, called := 0, 0
		for range rounds(t) {
			var wg sync.WaitGroup
			results := make(chan error, 40)
			for range cap(results) {
				wg.Go(func() { results <- push() })
			}
			r.cut(false)
			if _, err := p.Do(within(t, long), "hi", "x"); err == nil {
				called++
			}
			wg.Wait()
			close(results)
			for err := range results {
				switch {
				case err == nil:
					pushed++
				case status.Code(err) != codes.Unavailable:
					t.Errorf("a push: %v", err)
				}
			}
			r.take()
		}
		if pushed == 0 || called == 0 {
			t.Errorf("%d pushes and %d calls came through", pushed, called)
		}
		if err := push(); err != nil {
			t.Errorf("at the end: %v", err)
		}
		n := 0
		for s := range g.Sessions() {
			n++
			if f := s.InFlight(); f != 0 {
				t.Errorf("%d calls are under way at the end", f)
			}
		}
		if n != 1 {
			t.Errorf("%d sessions at the end, want 1", n)
		}
	})
}

// The connection of a Go client is cut while it calls a Java server. The server's
// table has it once, and no goroutine stays behind.
func TestSoakJavaServerGoClient(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		s := startServer(t, version, 60)
		r := record(t, s.Addr)
		before := runtime.NumGoroutine()
		// The client comes back when the server has forgotten it: brpc-java's table is
		// a plain list, which loses a removal that meets a registration.
		var gate sync.RWMutex
		e := endpoint(r.addr, native.WithDialFunc(func(ctx context.Context, addr string) (net.Conn, error) {
			gate.RLock()
			defer gate.RUnlock()
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}))
		connected, stop := goClient(t, e, "c1", &pushApi{label: "go"},
			client.WithBackoff(backoff.Config{BaseDelay: time.Millisecond, MaxDelay: time.Millisecond}))
		table := func(want ...string) {
			t.Helper()
			last := ""
			for ctx := within(t, long); !slices.Contains(want, last); {
				got, err := s.Do(ctx, "map")
				if err != nil {
					t.Fatalf("the server's table is %s, want %v: %v", last, want, err)
				}
				last = got
			}
		}
		answered := 0
		for range rounds(t) {
			await(t, connected, "session")
			table("{c1=1+0}")
			if got, err := s.Do(within(t, long), "pushHi", "c1", "x"); err != nil || got != "hi x" {
				t.Fatalf("a push: %q, %v", got, err)
			}
			var wg sync.WaitGroup
			results := make(chan error, 40)
			for range cap(results) {
				wg.Go(func() {
					_, err := pb.NewSvcClient(e).Hi(context.WithoutCancel(t.Context()), &pb.TextRequest{Text: "x"})
					results <- err
				})
			}
			if err := await(t, results, "answer"); err == nil {
				answered++
			}
			func() {
				gate.Lock()
				defer gate.Unlock()
				r.cut(true) // its own, and that of calls while it had none
				table("{}", "{c1=0+0}")
			}()
			wg.Wait()
			close(results)
			for err := range results {
				if err != nil && status.Code(err) != codes.Unavailable {
					t.Errorf("a call: %v", err)
				}
			}
			r.take()
		}
		if answered == 0 {
			t.Error("no call came through")
		}
		await(t, connected, "session")
		table("{c1=1+0}")
		stop()
		e.Close()
		settled(t, before)
	})
}
