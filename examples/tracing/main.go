// Command tracing shows traces that OpenTelemetry makes of pushes: from a caller,
// through a gRPC server, over the tunnel, to the handler in a client.
//
// What to copy is in telemetry.go and server.go and display.go: which stats
// handlers go where. The rest makes three calls and prints what came of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := command(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tracing:", err)
		os.Exit(1)
	}
}

// command makes the calls and prints their traces as trees. With -o it writes the
// spans as OpenTelemetry's exporter does, one JSON object a line. It is over after
// 20 seconds.
func command(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("tracing", flag.ContinueOnError)
	path := flags.String("o", "", "write the spans to this `file` as JSON; - is standard output, in place of the trees")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()

	all := &recorder{}
	to := []sdktrace.SpanProcessor{all}
	if *path != "" {
		w := stdout
		if *path != "-" {
			file, err := os.Create(*path)
			if err != nil {
				return err
			}
			defer file.Close()
			w = file
		}
		exporter, err := stdouttrace.New(stdouttrace.WithWriter(w))
		if err != nil {
			return err
		}
		to = append(to, sdktrace.NewBatchSpanProcessor(exporter))
	}
	if err := demo(ctx, to); err != nil {
		return err
	}
	all.wait()
	for _, p := range to {
		if err := p.Shutdown(ctx); err != nil {
			return err
		}
	}
	if *path == "-" {
		return nil
	}
	return all.print(stdout)
}

// demo runs the server, two clients and the caller. Each is a process of its own
// as far as the traces go. It returns when all have ended.
func demo(ctx context.Context, to []sdktrace.SpanProcessor) error {
	h, err := startServer(newProcess("server", to))
	if err != nil {
		return err
	}
	kitchen, err := startDisplay(h.addr, &display{process: newProcess("kitchen", to)})
	if err != nil {
		return err
	}
	cellar, err := startDisplay(h.addr, &display{process: newProcess("cellar", to), full: true})
	if err != nil {
		return err
	}
	err = call(ctx, h.addr, newProcess("caller", to))
	for _, stop := range []func(context.Context) error{kitchen.stop, cellar.stop, h.stop} {
		if e := stop(ctx); err == nil {
			err = e
		}
	}
	return err
}
