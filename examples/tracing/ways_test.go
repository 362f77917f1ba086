package main

import (
	"context"
	"net"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
)

// The ways in which a client may come.
var ways = []string{"grpc", "direct", "native"}

// start starts a server without a caller, whose pushes have the spans of atServer,
// and a client that comes in that way, whose handlers have those of atClient. Both
// end with the test. The options are for both ends' stats handlers.
func start(tb testing.TB, way string, atServer, atClient *process, opts ...otelgrpc.Option) *server.Server {
	tb.Helper()
	return startWith(tb, way,
		&display{process: atClient},
		[]server.Option{server.WithStatsHandlers(otelgrpc.NewClientHandler(atServer.options(opts...)...), nameClient{})},
		[]client.Option{client.WithStatsHandlers(otelgrpc.NewServerHandler(atClient.options(opts...)...))})
}

// startWith does the same with any options of the server and the client.
func startWith(tb testing.TB, way string, d *display, ofServer []server.Option, ofClient []client.Option) *server.Server {
	tb.Helper()
	push := server.New(ofServer...)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	addr := listener.Addr().String()
	served := make(chan error, 1)
	g := grpc.NewServer(append(server.RecommendedOptions(), push.Direct(nil))...)
	push.Register(g)
	cc, err := grpc.NewClient(addr, append(client.RecommendedOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		tb.Fatal(err)
	}
	var c *client.Client
	switch way {
	case "native":
		go func() { served <- push.Serve(listener, native.Protocol(native.WithPushes(&pb.Notifier_ServiceDesc))) }()
		c = client.NewDialer(native.Dialer(addr), d.name, ofClient...)
	case "direct":
		go func() { served <- g.Serve(listener) }()
		c = client.New(cc, d.name, append(ofClient, client.WithDirect(addr, nil))...)
	default:
		go func() { served <- g.Serve(listener) }()
		c = client.New(cc, d.name, ofClient...)
	}
	pb.RegisterNotifierServer(c, d)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Serve(ctx) }()
	tb.Cleanup(func() {
		cancel()
		<-ended
		cc.Close()
		push.Close()
		g.Stop()
		if err := <-served; err != nil {
			tb.Error(err)
		}
	})
	for {
		for s := range push.Sessions(d.name) {
			if got := s.Peer().Protocol; got != way {
				tb.Fatalf("the client has come over %q, want %q", got, way)
			}
			return push
		}
		select {
		case err := <-ended:
			ended <- err
			tb.Fatal(err)
		case <-time.After(time.Millisecond): // ask again
		}
	}
}

// within is a context that ends long after a test has.
func within(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

// recording returns a process and the spans that end in it.
func recording(name string) (*process, *tracetest.SpanRecorder) {
	r := tracetest.NewSpanRecorder()
	return newProcess(name, []sdktrace.SpanProcessor{r}), r
}

// await waits for the span of a kind to end: that of a handler may do so after its
// answer has come.
func await(t *testing.T, r *tracetest.SpanRecorder, method string) sdktrace.ReadOnlySpan {
	t.Helper()
	for ctx := within(t); ; {
		for _, s := range r.Ended() {
			if s.Name() == "examples.notifier.v1.Notifier/"+method {
				return s
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s has no span", method)
		case <-time.After(time.Millisecond): // ask again
		}
	}
}

// value returns what a span says of something.
func value(s sdktrace.ReadOnlySpan, key attribute.Key) attribute.Value {
	for _, a := range s.Attributes() {
		if a.Key == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

// unsampled returns a process that samples nothing.
func unsampled(name string) *process {
	spans := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	return &process{name: name, spans: spans, tracer: spans.Tracer("examples/tracing")}
}
