package main

import (
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// process is what a process has for its traces. A real one sets
// otel.SetTracerProvider and otel.SetTextMapPropagator when it starts, and gives
// the stats handlers no options. Here four are in one program.
type process struct {
	name   string
	spans  *sdktrace.TracerProvider
	tracer trace.Tracer // of the process's own spans
}

// newProcess returns what the process of a name has. Its spans go to all of to.
func newProcess(name string, to []sdktrace.SpanProcessor) *process {
	opts := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", name))),
	}
	for _, p := range to {
		opts = append(opts, sdktrace.WithSpanProcessor(p))
	}
	spans := sdktrace.NewTracerProvider(opts...)
	return &process{name: name, spans: spans, tracer: spans.Tracer("examples/tracing")}
}

// options are what the stats handlers of the process need. Without a propagator
// nothing of a trace leaves a process: there is none by default.
func (p *process) options(more ...otelgrpc.Option) []otelgrpc.Option {
	return append(more, otelgrpc.WithTracerProvider(p.spans), otelgrpc.WithPropagators(propagation.TraceContext{}))
}
