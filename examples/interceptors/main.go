// Command interceptors shows a server and two clients with the interceptors that
// they should have in production, and what these do: who may push is checked, rates
// are kept, a panic is survived, what was not sent is repeated, and what was sent
// twice runs once.
//
//	cd examples/interceptors && go run .
//
// chains.go is what to copy. The tests beside it prove that go-grpc-middleware's
// interceptors work unchanged; README.md has the table.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "interceptors:", err)
		os.Exit(1)
	}
}

// run tells the story. It is over after 30 seconds.
func run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	s, err := startServer(newLog(out, "server"))
	if err != nil {
		return err
	}
	defer s.stop()
	story := &story{out: out, server: s}
	defer story.stopDisplays()
	for _, name := range []string{"kitchen", "cellar"} {
		if err := story.start(ctx, name); err != nil {
			return err
		}
	}
	return story.tell(ctx)
}

// newLog returns a logger of one end that shows what the story is about: no times,
// levels and sessions, and whose line it is.
func newLog(out io.Writer, end string) *slog.Logger {
	hidden := map[string]bool{slog.TimeKey: true, slog.LevelKey: true, "session": true, "method": true, "duration": true}
	h := slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if hidden[a.Key] {
			return slog.Attr{}
		}
		return a
	}})
	return slog.New(h).With("end", end)
}
