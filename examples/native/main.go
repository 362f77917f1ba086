// Command native shows server push over brpc-java's framing: a Go server or a Go
// client, each of which works with a Go or a Java peer.
//
//	go run ./examples/native server                  # listens on 127.0.0.1:8012
//	go run ./examples/native client                  # as c1, in another terminal
//
// The Java peers are in examples/native/java; either end may be one of them. The
// client may run beside the Go client. The server has the same port as the Go
// server, so only one of the two can run; it pushes to c1 only.
//
//	cd examples/native/java
//	mvn -q compile exec:exec@client -Dname=c2
//	mvn -q compile exec:exec@server
//
// docs/NATIVE.md says what they print.
//
// server.go and client.go are what to copy.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
)

const usage = `usage:
  native server [address]           default 127.0.0.1:8012
  native client [address] [name]    default 127.0.0.1:8012 c1
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := command(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "native:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, out io.Writer) error {
	arg := func(i int, def string) string {
		if len(args) > i {
			return args[i]
		}
		return def
	}
	switch arg(0, "") {
	case "server":
		return runServer(ctx, arg(1, "127.0.0.1:8012"), out)
	case "client":
		return runClient(ctx, arg(1, "127.0.0.1:8012"), arg(2, "c1"), out)
	default:
		fmt.Fprint(out, usage)
		return nil
	}
}
