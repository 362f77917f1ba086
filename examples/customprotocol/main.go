// Command customprotocol shows how a program brings a protocol of its own: one
// JSON object per line, so that a terminal can be a client. lines.go is the
// protocol; this file is a server that uses it by its name, and a client.
//
//	go run ./examples/customprotocol
//
// With -listen it waits for your terminal instead:
//
//	go run ./examples/customprotocol -listen 127.0.0.1:9000
//	nc 127.0.0.1 9000
//	{"name":"terminal"}
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"time"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

func main() {
	listen := flag.String("listen", "", "wait for clients at this address")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *listen, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "customprotocol:", err)
		os.Exit(1)
	}
}

// run serves the protocol and pushes to each client that comes: for ever at an
// address of the user's, once otherwise.
func run(ctx context.Context, listen string, out io.Writer) error {
	p, ok := tunnel.ProtocolByName(protocolName)
	if !ok {
		return errors.New("the protocol is not registered")
	}
	came := make(chan *server.Session)
	push := server.New(server.WithHooks(server.Hooks{Connected: func(s *server.Session) {
		select {
		case came <- s:
		case <-ctx.Done():
		}
	}}))
	ctx, cancel := context.WithCancel(ctx)
	defer push.Close()
	defer cancel() // first: a hook may wait for it
	addr := listen
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- push.Serve(l, p) }()
	if listen == "" {
		go client(l.Addr().String(), "c1", out) //nolint:errcheck // its end is the server's
	}
	for {
		select {
		case s := <-came:
			callCtx, done := context.WithTimeout(ctx, time.Minute)
			r, err := pb.NewNotifierClient(push.Client(s.Name())).Notify(callCtx, &pb.NotifyRequest{Text: "hello"})
			done()
			fmt.Fprintf(out, "server: %s has answered %q, error %v\n", s.Name(), r.GetDisplay(), err)
			if listen == "" {
				return err
			}
		case err := <-served:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// client is a client in a few lines, in whatever language.
func client(addr, name string, out io.Writer) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintln(conn, line{Name: name})
	in := newScanner(conn)
	for {
		ask, err := in.next()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "client: asked for %s\n", ask.Method)
		fmt.Fprintln(conn, line{ID: ask.ID, Message: json.RawMessage(fmt.Sprintf(`{"display":%q}`, name))})
	}
}
