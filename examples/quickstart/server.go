package main

import (
	"context"
	"net"
	"slices"

	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/server"
)

// house is a gRPC server with pushes.
type house struct {
	push *server.Server
	grpc *grpc.Server
	addr string
	came chan string // the names of clients that have connected
	left chan string // the names of those that have gone
}

// startServer starts a gRPC server that can call its clients. Register adds the
// pushes to a gRPC server that may serve other things, too.
func startServer() (*house, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &house{addr: listener.Addr().String(), came: make(chan string, 16), left: make(chan string, 16)}
	h.push = server.New(server.WithHooks(server.Hooks{
		Connected:    func(s *server.Session) { h.came <- s.Name() },
		Disconnected: func(s *server.Session, _ error) { h.left <- s.Name() },
	}))
	h.grpc = grpc.NewServer(server.RecommendedOptions()...)
	h.push.Register(h.grpc)
	go h.grpc.Serve(listener) //nolint:errcheck // it ends with stop
	return h, nil
}

// stop ends the server at once. See shutdown for the way to do it without loss.
func (h *house) stop() {
	h.push.Close()
	h.grpc.Stop()
}

// await waits until n clients have come, or left, and returns their names.
func await(ctx context.Context, clients <-chan string, n int) ([]string, error) {
	var names []string
	for len(names) < n {
		select {
		case name := <-clients:
			names = append(names, name)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	slices.Sort(names)
	return names, nil
}
