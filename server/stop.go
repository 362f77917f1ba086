package server

import (
	"context"

	"google.golang.org/grpc"
)

// GracefulStop stops a gRPC server and parts from all clients, without loss. It takes
// the place of the gRPC server's own GracefulStop, which would wait for the clients for
// ever. It returns nil when all calls, sessions and hooks have ended. If ctx ends first,
// the rest is cut off, and it returns ctx's error.
//
// It does what Shutdown does, and at the same time has the gRPC server take no more
// connections and send those that it has away. A client whose session is a gRPC stream
// needs that: its next session would come on the same connection, to the server that is
// about to go. A connection that has not said yet what it is (see OnePort) is cut off.
// Without OnePort or Direct gRPC waits for it, for grpc.ConnectionTimeout.
func (s *Server) GracefulStop(ctx context.Context, g *grpc.Server) error {
	s.stopShake()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		g.GracefulStop()
	}()
	err := s.Shutdown(ctx)
	select {
	case <-stopped:
		return err
	case <-ctx.Done():
	}
	g.Stop()
	<-stopped
	return ctx.Err()
}
