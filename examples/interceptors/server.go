package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

type pushServer struct {
	push *server.Server
	addr string
	stop func()
}

func startServer(log *slog.Logger) (*pushServer, error) {
	metrics := grpcprom.NewClientMetrics() // register it with your prometheus.Registry
	unary, stream := interceptors.Callers(callerChain(log, metrics, mayPush)...)
	push := server.New(server.WithUnaryInterceptors(unary...), server.WithStreamInterceptors(stream...))

	g := grpc.NewServer(server.RecommendedOptions()...)
	push.Register(g)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = g.Serve(l)
	}()
	return &pushServer{push: push, addr: l.Addr().String(), stop: func() {
		_ = push.Close()
		g.Stop()
		<-served
	}}, nil
}

type userKey struct{}

// as returns a context in which this user pushes. In a server whose gRPC calls lead
// to pushes, the auth interceptor of those calls does that.
func as(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, userKey{}, user)
}

// mayPush lets the cook push to the kitchen, and the owner everywhere.
func mayPush(ctx context.Context, target *tunnel.Target, _ string) error {
	user, _ := ctx.Value(userKey{}).(string)
	switch {
	case user == "":
		return errors.New("nobody has logged in")
	case user == "owner", user == "cook" && target.Name == "kitchen":
		return nil
	}
	return fmt.Errorf("%s has no business there", user)
}
