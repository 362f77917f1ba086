package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// safeBuffer is written to by the server and the client.
type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out safeBuffer
	if err := run(ctx, "", &out); err != nil {
		t.Fatal(err)
	}
	want := "client: asked for /examples.notifier.v1.Notifier/Notify\nserver: c1 has answered \"c1\", error <nil>\n"
	if out.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", &out, want)
	}
}

// startServer serves the protocol to connections that the test makes.
func startServer(t *testing.T) (*server.Server, func(string) (net.Conn, scanner)) {
	t.Helper()
	push := server.New()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- push.Serve(l, lines{}) }()
	t.Cleanup(func() {
		push.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return push, func(hello string) (net.Conn, scanner) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintln(conn, hello)
		return conn, newScanner(conn)
	}
}

func notify(t *testing.T, push *server.Server) error {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := pb.NewNotifierClient(push.Client("c1")).Notify(ctx, &pb.NotifyRequest{}, grpc.WaitForReady(true))
	return err
}

func TestErrorsAndEnds(t *testing.T) {
	push, connect := startServer(t)
	conn, in := connect(`{"name":"c1"}`)
	result := make(chan error, 1)
	go func() { result <- notify(t, push) }()
	ask, err := in.next()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(conn, line{ID: ask.ID, Code: codes.NotFound, Error: "no such display"})
	if st := status.Convert(<-result); st.Code() != codes.NotFound || st.Message() != "no such display" {
		t.Errorf("got %v", st)
	}
	go func() { result <- notify(t, push) }()
	if _, err := in.next(); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := <-result; status.Code(err) != codes.Unavailable || tunnel.OutcomeOf(err) != tunnel.OutcomeUnknown {
		t.Errorf("got %v, outcome %v", err, tunnel.OutcomeOf(err))
	}
}

func TestRefusesBadNames(t *testing.T) {
	_, connect := startServer(t)
	for _, hello := range []string{`{}`, `nonsense`, `{"name":"` + strings.Repeat("x", 300) + `"}`} {
		_, in := connect(hello)
		if l, err := in.next(); err == nil {
			t.Errorf("%s was answered with %v", hello, l)
		}
	}
}
