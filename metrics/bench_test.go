package metrics_test

import (
	"context"
	"net"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/metrics"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// BenchmarkCall makes the same calls with Metrics and without, in turns, and reports
// what one costs with them in relation to one without, and how much that adds.
func BenchmarkCall(b *testing.B) {
	m := metrics.New()
	with, without := tunneltest.NewServer(b, m.Option()), tunneltest.NewServer(b)
	var took [2]time.Duration
	conns := [2]grpc.ClientConnInterface{with.Client("c1"), without.Client("c1")}
	with.Connect(b, "c1", echoes)
	without.Connect(b, "c1", echoes)
	const turn = 100
	n := 0
	for b.Loop() {
		for i, conn := range conns {
			began := time.Now()
			for range turn {
				if err := call(b.Context(), conn); err != nil {
					b.Fatal(err)
				}
			}
			took[i] += time.Since(began)
		}
		n += turn
	}
	b.ReportMetric(float64(took[0])/float64(took[1]), "with/without")
	b.ReportMetric(float64(took[0]-took[1])/float64(n), "ns-more/call")
}

// BenchmarkInterceptor is the part of it that no network hides: a call that an
// interceptor answers at once, without Metrics and with them, from one goroutine and
// from several.
func BenchmarkInterceptor(b *testing.B) {
	answer := server.WithUnaryInterceptors(func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
		return nil
	})
	for _, bench := range []struct {
		name string
		opt  server.Option
	}{{"without", answer}, {"with", server.WithOptions(metrics.New().Option(), answer)}} {
		conn := server.New(bench.opt).Client("c1")
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := conn.Invoke(b.Context(), unaryMethod, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bench.name+"/parallel", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := conn.Invoke(b.Context(), unaryMethod, nil, nil); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkScrape gathers from a server with 10,000 sessions, in 10 namespaces.
func BenchmarkScrape(b *testing.B) {
	m := metrics.New()
	push := server.New(m.Option(), server.WithConnectRate(0, 0), server.WithHeartbeat(time.Hour))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	accepted := make(filler, 1)
	go func() { served <- push.Serve(l, accepted) }()
	defer func() {
		push.Close()
		if err := <-served; err != nil {
			b.Error(err)
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	acceptor := <-accepted
	const sessions = 10_000
	for i := range sessions {
		remote := tunnel.Peer{Name: strconv.Itoa(i), Namespace: strconv.Itoa(i % 10)}
		if err := acceptor.Accept(remote, func(cfg tunnel.Config) tunnel.Link { return pair(b, cfg) }); err != nil {
			b.Fatal(err)
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	for scrape(b, m).sum("sessions") < sessions {
		runtime.Gosched() // the hooks come later
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}

// pair returns the server's end of a session in memory.
func pair(b *testing.B, cfg tunnel.Config) tunnel.Link {
	near, far := tunnel.Pipe()
	go tunnel.Dial(context.Background(), far, tunnel.Config{}) //nolint:errcheck // the other end tells
	s, err := tunnel.Accept(b.Context(), near, cfg)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// filler is a protocol that gives its Acceptor away.
type filler chan tunnel.Acceptor

func (f filler) Name() string              { return "memory" }
func (f filler) Match([]byte) tunnel.Match { return tunnel.MatchYes }

func (f filler) Serve(ctx context.Context, conn net.Conn, a tunnel.Acceptor) error {
	f <- a
	<-ctx.Done()
	return conn.Close()
}
