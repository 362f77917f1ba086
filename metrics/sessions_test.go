package metrics_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/faultnet"
	"github.com/pushtunnel/pushtunnel/metrics"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

func TestSessionsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, push := newServer(t, server.WithHeartbeat(-1))
		start := want(t, m, nil, sample{})
		c := push.Connect(t, "c1", nil)
		push.Connect(t, "c2", nil, client.WithNamespace("tenant"))
		push.Connect(t, "c3", nil, client.WithDirect("", nil), client.WithDirectDialer(push.DialConn))
		synctest.Wait()
		before := want(t, m, start, sample{
			`sessions{namespace="",protocol="grpc"}`:             1,
			`sessions{namespace="tenant",protocol="grpc"}`:       1,
			`sessions{namespace="",protocol="direct"}`:           1,
			`connects_total{namespace="",protocol="grpc"}`:       1,
			`connects_total{namespace="tenant",protocol="grpc"}`: 1,
			`connects_total{namespace="",protocol="direct"}`:     1,
		})
		if err := c.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want(t, m, before, sample{
			`sessions{namespace="",protocol="grpc"}`:           -1,
			`disconnects_total{protocol="grpc",reason="left"}`: 1,
		})
	})
}

// Every reason of package server has a series before a session has ended for it.
func TestDisconnectsByReason(t *testing.T) {
	for _, test := range []struct {
		reason server.Reason
		end    func(*testing.T, *tunneltest.Server)
	}{
		{server.ReasonClosed, func(_ *testing.T, push *tunneltest.Server) { only(push).Close("enough") }},
		{server.ReasonLeft, func(_ *testing.T, push *tunneltest.Server) { only(push).Drain("move") }},
		{server.ReasonReplaced, func(t *testing.T, push *tunneltest.Server) { push.Connect(t, "c1", nil) }},
	} {
		t.Run(string(test.reason), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, push := newServer(t, server.WithHeartbeat(-1), server.WithDuplicates(server.ReplaceDuplicates))
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				c := client.New(push.Dial(t), "c1")
				go func() {
					defer close(ended)
					c.Serve(ctx)
				}()
				synctest.Wait()
				series := `disconnects_total{protocol="grpc",reason="` + string(test.reason) + `"}`
				before := scrape(t, m)
				if v, ok := before[series]; v != 0 || !ok {
					t.Fatalf("got %v (there: %v) before the end, want 0", v, ok)
				}
				test.end(t, push)
				synctest.Wait()
				time.Sleep(time.Minute) // the client comes back, and leaves what it has moved from
				synctest.Wait()
				now := scrape(t, m)
				if now[series] != 1 || now.sum("disconnects_total") != 1 {
					t.Errorf("got %v of %v disconnects, want the only one", now[series], now.sum("disconnects_total"))
				}
				if got := now.sum("connects_total") - now.sum("disconnects_total"); got != now.sum("sessions") {
					t.Errorf("got %v connects that have not ended, and %v sessions", got, now.sum("sessions"))
				}
				cancel()
				<-ended
			})
		})
	}
}

func only(push *tunneltest.Server) *server.Session {
	for s := range push.Sessions() {
		return s
	}
	return nil
}

// network is a server and clients on a network with faults, in virtual time.
type network struct {
	*faultnet.Network
	*server.Server
}

func newNetwork(t *testing.T, latency time.Duration, opts ...server.Option) *network {
	t.Helper()
	n := &network{faultnet.New(faultnet.Config{Latency: latency}), server.New(opts...)}
	g := grpc.NewServer()
	n.Register(g)
	l := n.Listener()
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	t.Cleanup(func() {
		n.Close()
		g.Stop()
		<-served
	})
	return n
}

// serve makes a client serve until the test ends.
func (n *network) serve(t *testing.T, name string, opts ...client.Option) {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return n.Dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(cc, name, opts...)
	echoes(c)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { c.Serve(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		cc.Close()
	})
}

// A round trip is observed once, however often Prometheus asks, and a network that
// dies is a session that falls silent.
func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New()
		n := newNetwork(t, 20*time.Millisecond, m.Option(), server.WithHeartbeat(10*time.Second))
		n.serve(t, "c1")
		time.Sleep(5 * time.Second)
		before := scrape(t, m)
		if got := before.series("round_trip_seconds"); got != 0 {
			t.Errorf("got %d series of round trips before there is one, want none", got)
		}
		time.Sleep(10 * time.Second)
		before = want(t, m, before, sample{`round_trip_seconds{protocol="grpc"}`: 1})
		before = want(t, m, before, sample{})
		n.Silence()
		time.Sleep(time.Minute)
		now := scrape(t, m)
		if got := now[`disconnects_total{protocol="grpc",reason="silent"}`]; got != 1 {
			t.Errorf("got %v sessions that fell silent, want 1", got)
		}
		now.wantGrown(t, before)
		n.Heal()
	})
}

func TestLostConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New()
		n := newNetwork(t, time.Millisecond, m.Option())
		n.serve(t, "c1")
		time.Sleep(time.Second)
		n.Cut()
		synctest.Wait()
		if got := scrape(t, m)[`disconnects_total{protocol="grpc",reason="lost"}`]; got != 1 {
			t.Errorf("got %v lost sessions, want 1", got)
		}
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, push := newServer(t, server.WithHeartbeat(-1), server.WithMaxSessions(1),
			server.WithIdentity(func(ctx context.Context, c server.Candidate) (server.Identity, error) {
				if c.Name == "nobody" {
					return server.Identity{}, errors.New("who?")
				}
				return server.TrustClaims(ctx, c)
			}))
		push.Connect(t, "c1", nil)
		synctest.Wait()
		before := scrape(t, m)
		if err := client.New(push.Dial(t), "nobody").Serve(t.Context()); status.Code(err) != codes.PermissionDenied {
			t.Fatalf("got %v, want PermissionDenied", err)
		}
		before = want(t, m, before, sample{`refusals_total{code="PermissionDenied",protocol="grpc"}`: 1})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var first sync.Once // the client tries again
		waits := client.WithHooks(client.Hooks{Retry: func(error, time.Duration) {
			first.Do(func() {
				want(t, m, before, sample{
					`refusals_total{code="ResourceExhausted",protocol="grpc"}`: 1,
					`limit_hits_total{end="server",limit="sessions"}`:          1,
				})
				cancel()
			})
		}})
		if err := client.New(push.Dial(t), "c2", waits).Serve(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

// What has no protocol yet is counted, too.
func TestRefusedConnections(t *testing.T) {
	m := metrics.New()
	refused := make(chan struct{}, 1)
	push := server.New(m.Option(), server.WithMaxConnections(1), server.WithHooks(server.Hooks{
		Refused: func(server.Candidate, error) { refused <- struct{}{} },
	}))
	addr := listen(t, push)
	before := scrape(t, m)
	for range 2 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	<-refused
	want(t, m, before, sample{
		`refusals_total{code="ResourceExhausted",protocol="unknown"}`: 1,
		`limit_hits_total{end="server",limit="connections"}`:          1,
	})
}

func TestTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, push := newServer(t, server.WithHeartbeat(-1))
		c := push.Connect(t, "c1", echoes)
		synctest.Wait()
		const in, out = `received_bytes_total{namespace="",protocol="grpc"}`, `sent_bytes_total{namespace="",protocol="grpc"}`
		before := scrape(t, m)
		if err := payload(t.Context(), push.Client("c1"), 100_000); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		now := scrape(t, m)
		for _, series := range []string{in, out} {
			if got := now[series] - before[series]; got < 100_000 || got > 110_000 {
				t.Errorf("%s: got %v bytes for a message of 100,000 each way", series, got)
			}
		}
		if err := c.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ended := scrape(t, m)
		ended.wantGrown(t, now)
		push.Connect(t, "c1", nil)
		scrape(t, m).wantGrown(t, ended)
	})
}

func TestQueuedBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New()
		n := newNetwork(t, time.Millisecond, m.Option(), server.WithHeartbeat(-1))
		n.serve(t, "c1")
		time.Sleep(time.Second)
		const series = `queued_bytes{namespace="",protocol="grpc"}`
		if v, ok := scrape(t, m)[series]; v != 0 || !ok {
			t.Fatalf("got %v queued bytes (there: %v) when nothing is sent, want 0", v, ok)
		}
		n.Silence()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { payload(ctx, n.Client("c1"), 1<<20) })
		synctest.Wait()
		now := scrape(t, m)
		if got := now[series]; got < 1<<19 || got > 1<<21 {
			t.Errorf("got %v queued bytes for a message of 1 MiB to nobody", got)
		}
		if got := now["memory_used_bytes"]; got < 1<<19 || got > now["memory_limit_bytes"] {
			t.Errorf("got %v bytes of memory used for a message of 1 MiB that waits", got)
		}
		if got := now[`session_calls_in_flight{namespace="",protocol="grpc"}`]; got != 1 {
			t.Errorf("got %v calls on sessions, want 1", got)
		}
		cancel()
		wg.Wait()
		synctest.Wait()
		if got := scrape(t, m)[series]; got != 0 {
			t.Errorf("got %v queued bytes when the call has ended, want 0", got)
		}
		n.Heal()
	})
}

func TestMemoryWithoutLimitIsNotShown(t *testing.T) {
	m := metrics.New()
	server.New(m.Option(), server.WithMaxMemory(0))
	if s := scrape(t, m); s.has("memory_used_bytes") || s.has("memory_limit_bytes") {
		t.Error("got memory of a server that has no limit, want none")
	}
}

// However many namespaces clients come with, there is a bounded number of series.
func TestNamespacesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New(metrics.WithMaxNamespaces(2))
		push := tunneltest.NewServer(t, m.Option(), server.WithHeartbeat(-1))
		for i, ns := range []string{"", "a", "b", "other", "c", "a"} {
			push.Connect(t, strconv.Itoa(i), nil, client.WithNamespace(ns))
			synctest.Wait()
		}
		now := scrape(t, m)
		for ns, want := range map[string]float64{"": 1, "a": 2, "other": 3} {
			if got := now[`sessions{namespace="`+ns+`",protocol="grpc"}`]; got != want {
				t.Errorf("namespace %q: got %v sessions, want %v", ns, got, want)
			}
		}
		if got := now.series("sessions"); got != 3 {
			t.Errorf("got %d series of sessions, want 3", got)
		}
	})
}

// While sessions come, are called and go, no counter goes back, and what has come is
// what is there and what has gone.
func TestCountersNeverGoBack(t *testing.T) {
	gone := make(chan struct{}, 1000)
	m, push := newServer(t, server.WithHooks(server.Hooks{Disconnected: func(*server.Session, error) {
		select {
		case gone <- struct{}{}:
		default:
		}
	}}))
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 4 {
		cc := push.Dial(t)
		name := strconv.Itoa(i)
		clients.Go(func() {
			for ctx.Err() == nil {
				life, end := context.WithCancel(ctx)
				c := client.New(cc, name, client.WithHooks(client.Hooks{Connected: func(tunnel.Peer) {
					go func() {
						defer end()
						payload(life, push.Client(name), 10_000)
					}()
				}}))
				echoes(c)
				c.Serve(life)
				end()
			}
		})
	}
	before := scrape(t, m)
	for range 200 {
		<-gone // the others come and go meanwhile
		now := scrape(t, m)
		now.wantGrown(t, before)
		if t.Failed() {
			break
		}
		if got := now.sum("connects_total") - now.sum("disconnects_total"); got != now.sum("sessions") {
			t.Fatalf("got %v connects that have not ended, and %v sessions", got, now.sum("sessions"))
		}
		before = now
	}
	cancel()
	clients.Wait()
	if err := push.Close(); err != nil {
		t.Fatal(err)
	}
	now := scrape(t, m)
	now.wantGrown(t, before)
	for _, gauge := range []string{"sessions", "calls_in_flight", "session_calls_in_flight", "queued_bytes", "memory_used_bytes"} {
		if got := now.sum(gauge); got != 0 {
			t.Errorf("%s: got %v when all is over, want 0", gauge, got)
		}
	}
}
