package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// recorder is a span processor that keeps the spans, to print them as trees.
type recorder struct {
	open sync.WaitGroup

	// mu guards what follows.
	mu    sync.Mutex
	begun []trace.SpanID // in the order in which they began
	ended map[trace.SpanID]sdktrace.ReadOnlySpan
}

// OnStart notes that a span has begun.
func (r *recorder) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	r.open.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = append(r.begun, s.SpanContext().SpanID())
}

// OnEnd keeps a span.
func (r *recorder) OnEnd(s sdktrace.ReadOnlySpan) {
	r.mu.Lock()
	if r.ended == nil {
		r.ended = make(map[trace.SpanID]sdktrace.ReadOnlySpan)
	}
	r.ended[s.SpanContext().SpanID()] = s
	r.mu.Unlock()
	r.open.Done()
}

// Shutdown does nothing.
func (r *recorder) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing.
func (r *recorder) ForceFlush(context.Context) error { return nil }

// wait waits until all spans have ended that have begun: that of a handler ends
// when its answer is on its way, which is too late for those who have it already.
func (r *recorder) wait() { r.open.Wait() }

// print prints a tree for each trace: the span's name, process, kind and status,
// and the client that a push goes to.
func (r *recorder) print(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	children := make(map[trace.SpanID][]sdktrace.ReadOnlySpan)
	for _, id := range r.begun {
		s := r.ended[id]
		children[s.Parent().SpanID()] = append(children[s.Parent().SpanID()], s)
	}
	var err error
	var printAll func(under trace.SpanID, depth int)
	printAll = func(under trace.SpanID, depth int) {
		for _, s := range children[under] {
			if _, e := fmt.Fprintln(w, line(s, depth)); e != nil {
				err = e
			}
			printAll(s.SpanContext().SpanID(), depth+1)
		}
	}
	printAll(trace.SpanID{}, 0)
	return err
}

// line is the line of a span.
func line(s sdktrace.ReadOnlySpan, depth int) string {
	text := fmt.Sprintf("%-48s%-9s%-10s", strings.Repeat("  ", depth)+s.Name(), find(s.Resource().Attributes(), "service.name"), s.SpanKind())
	if name := find(s.Attributes(), "pushtunnel.client"); name != "" {
		text += "to " + name + " "
	}
	if s.Status().Code == otelcodes.Error {
		text += "error: " + s.Status().Description
	} else if code := find(s.Attributes(), "rpc.response.status_code"); code != "" {
		text += code
	}
	return strings.TrimRight(text, " ")
}

// find returns the value of an attribute, empty if there is none.
func find(attrs []attribute.KeyValue, key attribute.Key) string {
	for _, a := range attrs {
		if a.Key == key {
			return a.Value.AsString()
		}
	}
	return ""
}
