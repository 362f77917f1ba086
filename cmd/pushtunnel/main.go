// Command pushtunnel serves clients that connect by name, calls them from the shell, and
// shows who is connected. docs/CLI.md is its manual.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.Run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
