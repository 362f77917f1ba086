package main

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
)

// The address in the span of a push is the client's, as the server sees it. The
// client's own span has the same, unless something between them changes it.
func TestAddresses(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			atServer, pushed := recording("server")
			atClient, served := recording("kitchen")
			push := start(t, way, atServer, atClient)
			if _, err := pb.NewNotifierClient(push.Client("kitchen")).Notify(within(t), &pb.NotifyRequest{}); err != nil {
				t.Fatal(err)
			}
			var want string
			for s := range push.Sessions("kitchen") {
				want = s.Peer().Addr.String()
			}
			p, h := await(t, pushed, "Notify"), await(t, served, "Notify")
			if got := net.JoinHostPort(value(p, "server.address").AsString(), strconv.FormatInt(value(p, "server.port").AsInt64(), 10)); got != want {
				t.Errorf("the push has the address %s, want %s", got, want)
			}
			if got := value(p, "pushtunnel.client").AsString(); got != "kitchen" {
				t.Errorf("the push goes to %q, want kitchen", got)
			}
			if way == "native" {
				want = ":0" // none
			}
			if got := value(h, "server.address").AsString() + ":" + strconv.FormatInt(value(h, "server.port").AsInt64(), 10); got != want {
				t.Errorf("its handler has the address %s, want %s", got, want)
			}
		})
	}
}

// The native protocol carries no metadata. So the trace ends with the span of the
// push, and the handler's span is the first of another.
func TestNative(t *testing.T) {
	atServer, pushed := recording("server")
	atClient, served := recording("kitchen")
	push := start(t, "native", atServer, atClient)
	n := pb.NewNotifierClient(push.Client("kitchen"))

	ctx, span := atServer.tracer.Start(within(t), "caller")
	if _, err := n.Notify(ctx, &pb.NotifyRequest{}); err != nil {
		t.Fatal(err)
	}
	span.End()
	p, h := await(t, pushed, "Notify"), await(t, served, "Notify")
	if p.Parent().SpanID() != span.SpanContext().SpanID() || p.SpanKind() != trace.SpanKindClient || value(p, "rpc.response.status_code").AsString() != "OK" {
		t.Errorf("got the push %v, want a client span under that of the caller", p)
	}
	if h.Parent().IsValid() || h.SpanContext().TraceID() == p.SpanContext().TraceID() || h.SpanKind() != trace.SpanKindServer {
		t.Errorf("got the handler %v, want the first span of another trace", h)
	}
	own := served.Ended()[0]
	if own.Name() != "show" || own.Parent().SpanID() != h.SpanContext().SpanID() {
		t.Errorf("got %v, want a span of the handler under that of the call", own)
	}

	// A push that streams fails, and its span says so.
	err := install(ctx, n)
	if status.Code(err) != codes.Unimplemented {
		t.Fatalf("a stream to a native client: got %v, want Unimplemented", err)
	}
	if s := await(t, pushed, "Install"); s.Status().Code != otelcodes.Error {
		t.Errorf("a stream to a native client: its span is %v, want an error", s.Status())
	}
}

// A push to a client that is not connected has a span, too.
func TestNotConnected(t *testing.T) {
	atServer, pushed := recording("server")
	atClient, _ := recording("kitchen")
	push := start(t, "grpc", atServer, atClient)
	n := pb.NewNotifierClient(push.Client("attic"))

	ctx, span := atServer.tracer.Start(within(t), "caller")
	defer span.End()
	if _, err := n.Notify(ctx, &pb.NotifyRequest{}); status.Code(err) != codes.Unavailable {
		t.Fatalf("got %v, want Unavailable", err)
	}
	s := await(t, pushed, "Notify")
	if s.Parent().SpanID() != span.SpanContext().SpanID() || s.Status().Description != `pushtunnel: client "attic" is not connected` ||
		value(s, "pushtunnel.client").AsString() != "attic" || value(s, "rpc.response.status_code").AsString() != "UNAVAILABLE" {
		t.Errorf("got the status %v and %v", s.Status(), s.Attributes())
	}
}

// A client may not want to be part of the traces of its server: it links to them.
func TestPublicEndpoint(t *testing.T) {
	atServer, pushed := recording("server")
	atClient, served := recording("kitchen")
	push := start(t, "grpc", atServer, atClient, otelgrpc.WithPublicEndpoint())
	if _, err := pb.NewNotifierClient(push.Client("kitchen")).Notify(within(t), &pb.NotifyRequest{}); err != nil {
		t.Fatal(err)
	}
	p, h := await(t, pushed, "Notify"), await(t, served, "Notify")
	if h.Parent().IsValid() || len(h.Links()) != 1 || h.Links()[0].SpanContext.SpanID() != p.SpanContext().SpanID() {
		t.Errorf("got the parent %v and the links %v, want a link to the push", h.Parent(), h.Links())
	}
}

// What is not sampled at the server is not sampled at the client, if that goes by
// its parent.
func TestSampling(t *testing.T) {
	atClient, served := recording("kitchen")
	push := start(t, "grpc", unsampled("server"), atClient)
	n := pb.NewNotifierClient(push.Client("kitchen"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := n.Notify(ctx, &pb.NotifyRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := served.Started(); len(got) != 0 {
		t.Errorf("got %d spans of the client, want none", len(got))
	}
}
