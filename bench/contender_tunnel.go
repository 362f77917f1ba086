package main

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pushtunnel/pushtunnel/bench/benchpb"
	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// pushTunnel is this library as its README uses it: static windows at both
// ends, and one pool of handler goroutines for all clients of a process.
var pushTunnel = contender{
	name: "pushtunnel",
	listen: func(l link) (*end, error) {
		l.staticWindows = true
		push := server.New()
		gs, err := newGRPCServer(l)
		if err != nil {
			return nil, err
		}
		return servePush(push, gs)
	},
	connect: func(l link, addr string, names []string) (*end, error) {
		l.staticWindows = true
		conns, err := dialGRPC(l, addr, len(names))
		if err != nil {
			return nil, err
		}
		stop := servePushClients(names, func(i int) (grpc.ClientConnInterface, []client.Option) { return conns[i], nil })
		return &end{close: func() error {
			stop()
			return closeAll(conns)
		}}, nil
	},
}

// pushDirect is the same with the direct transport, on the gRPC server's port.
var pushDirect = contender{
	name: "pushtunnel direct",
	listen: func(l link) (*end, error) {
		var cfg *tls.Config
		if l.tls {
			cert, err := selfSigned()
			if err != nil {
				return nil, err
			}
			cfg = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
			l.tls = false // these credentials stand in the place of the others
		}
		l.staticWindows = true
		push := server.New()
		gs, err := newGRPCServer(l, push.Direct(cfg))
		if err != nil {
			return nil, err
		}
		return servePush(push, gs)
	},
	connect: func(l link, addr string, names []string) (*end, error) {
		var cfg *tls.Config
		if l.tls {
			cfg = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
		}
		// What a client falls back to. It connects when it is used.
		cc, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		stop := servePushClients(names, func(int) (grpc.ClientConnInterface, []client.Option) {
			return cc, []client.Option{client.WithDirect(addr, cfg)}
		})
		return &end{close: func() error {
			stop()
			return cc.Close()
		}}, nil
	},
}

// servePush serves what clients of push connect to.
func servePush(push *server.Server, gs *grpc.Server) (*end, error) {
	push.Register(gs)
	e, err := serveGRPC(gs)
	if err != nil {
		return nil, err
	}
	stop := e.close
	e.close = func() error { return errors.Join(push.Close(), stop()) }
	e.connected = func() (sessions int) {
		for range push.Sessions() {
			sessions++
		}
		return sessions
	}
	e.stub = func(name string) benchpb.EchoClient { return benchpb.NewEchoClient(push.Client(name)) }
	e.call = callStub(e.stub)
	return e, nil
}

// servePushClients serves a client for each name, each as connect says, and
// returns what stops them.
func servePushClients(names []string, connect func(i int) (grpc.ClientConnInterface, []client.Option)) (stop func()) {
	var serving sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	workers := tunnel.NewWorkers()
	for i, name := range names {
		cc, opts := connect(i)
		c := client.New(cc, name, append(opts, client.WithWorkers(workers))...)
		benchpb.RegisterEchoServer(c, echoServer{})
		// A client that does not come up shows in the count of sessions.
		serving.Go(func() { _ = c.Serve(ctx) })
	}
	return func() {
		cancel()
		serving.Wait()
		workers.Close()
	}
}
