// Command quickstart shows what the project is for, in a few seconds and on one
// machine: a gRPC server that calls its clients. Run it with "make demo".
//
// The server is in server.go, the clients in display.go: copy from there. The
// rest tells the story: steps.go calls the clients, process.go runs one of them
// in a process of its own so that it can be killed, print.go prints.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := command(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// command runs the demonstration or, with the arguments that startProcess gives
// to the child, one display of it. Either is over after 20 seconds.
func command(ctx context.Context, args []string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if len(args) == 4 && args[0] == displayCommand {
		return connect(ctx, args[1], args[2], &display{label: args[3], step: 250 * time.Millisecond})
	}
	return demo(ctx, &printer{out: out})
}

// demo starts the server and the displays, and goes through the steps.
func demo(ctx context.Context, p *printer) (err error) {
	s, err := startServer()
	if err != nil {
		return err
	}
	defer s.stop()
	displays := startDisplays(ctx, s.addr)
	defer func() { err = errors.Join(err, displays.stop()) }()
	garage, err := startProcess(ctx, s.addr, "garage")
	if err != nil {
		return err
	}
	defer garage.kill()

	names, err := await(ctx, s.came, 6)
	if err != nil {
		return err
	}
	p.print("A gRPC server on 127.0.0.1. Clients have connected to it; now it calls them.\n")
	p.print("Clients: %s\n\n", strings.Join(names, ", "))
	for _, step := range []func(context.Context, *story) error{push, oneOfMany, stream, fanout, rawTCP, killed, shutdown} {
		if err := step(ctx, &story{printer: p, server: s, garage: garage}); err != nil {
			return err
		}
	}
	return nil
}
