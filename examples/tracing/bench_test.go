package main

import (
	"context"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/server"
)

// BenchmarkStatsHandlers compares pushes with stats handlers at both ends to pushes
// without, and plain gRPC calls with the same to those without: in turns, so that
// both are measured under the same conditions. An iteration is a batch of each.
func BenchmarkStatsHandlers(b *testing.B) {
	otel := func(atServer, atClient *process, opts ...otelgrpc.Option) [2]stats.Handler {
		return [2]stats.Handler{
			otelgrpc.NewClientHandler(atServer.options(opts...)...),
			otelgrpc.NewServerHandler(atClient.options(opts...)...),
		}
	}
	all := func(name string) *process {
		return newProcess(name, []sdktrace.SpanProcessor{dropped{}})
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	for _, way := range []string{"plain", "grpc", "direct"} {
		for _, c := range []struct {
			name     string
			handlers [2]stats.Handler
		}{
			{"empty", [2]stats.Handler{empty{}, empty{}}},
			{"metrics", otel(unsampled("server"), unsampled("kitchen"), otelgrpc.WithMeterProvider(meters))},
			{"unsampled", otel(unsampled("server"), unsampled("kitchen"))},
			{"sampled", otel(all("server"), all("kitchen"))},
		} {
			b.Run(way+"/"+c.name, func(b *testing.B) { compare(b, way, c.handlers) })
		}
	}
}

// empty is a stats handler that does nothing.
type empty struct{ nameClient }

func (empty) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// dropped is a span processor that drops the spans: exporting them is not measured.
type dropped struct{}

func (dropped) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (dropped) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (dropped) Shutdown(context.Context) error                  { return nil }
func (dropped) ForceFlush(context.Context) error                { return nil }

// cost is what some calls have cost.
type cost struct {
	time        time.Duration
	allocations uint64
}

func compare(b *testing.B, way string, handlers [2]stats.Handler) {
	without, with := connect(b, way), connect(b, way, handlers[:]...)
	batch(b, without) // fills pools
	batch(b, with)
	var a, z cost
	for b.Loop() {
		a.add(batch(b, without))
		z.add(batch(b, with))
	}
	calls := float64(b.N * callers * callsEach)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(z.time)/float64(a.time), "time-ratio")
	b.ReportMetric(float64(z.time-a.time)/calls/1000, "µs/call-more")
	b.ReportMetric(float64(a.allocations)/calls, "allocs/call-without")
	b.ReportMetric(float64(z.allocations)/calls, "allocs/call-with")
}

func (c *cost) add(other cost) {
	c.time += other.time
	c.allocations += other.allocations
}

// connect returns a connection on which calls go to a display: of a gRPC server that
// the caller has dialled, or of a client of a way. The handlers are the caller's and
// the display's.
func connect(b *testing.B, way string, handlers ...stats.Handler) grpc.ClientConnInterface {
	if way != "plain" {
		var ofServer []server.Option
		var ofClient []client.Option
		if len(handlers) > 0 {
			ofServer = append(ofServer, server.WithStatsHandlers(handlers[0]))
			ofClient = append(ofClient, client.WithStatsHandlers(handlers[1]))
		}
		return startWith(b, way, &silent, ofServer, ofClient).Client("kitchen")
	}
	ofServer := server.RecommendedOptions()
	ofClient := append(client.RecommendedOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if len(handlers) > 0 {
		ofClient = append(ofClient, grpc.WithStatsHandler(handlers[0]))
		ofServer = append(ofServer, grpc.StatsHandler(handlers[1]))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g := grpc.NewServer(ofServer...)
	pb.RegisterNotifierServer(g, &silent)
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	cc, err := grpc.NewClient(listener.Addr().String(), ofClient...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cc.Close()
		g.Stop()
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return cc
}

// silent is a client whose handlers make no spans of their own.
var silent = display{process: unsampled("kitchen")}

const (
	callers   = 64
	callsEach = 40
)

// batch makes calls, of many callers at a time.
func batch(b *testing.B, cc grpc.ClientConnInterface) cost {
	n := pb.NewNotifierClient(cc)
	msg := &pb.NotifyRequest{Text: "Dinner is ready"}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range callsEach {
				if _, err := n.Notify(b.Context(), msg); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	return cost{took, after.Mallocs - before.Mallocs}
}
