package main

import (
	"context"
	"errors"
	"sync"

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
		gs, err := newGRPCServer(l)
		if err != nil {
			return nil, err
		}
		push := server.New()
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
	},
	connect: func(l link, addr string, names []string) (*end, error) {
		l.staticWindows = true
		conns, err := dialGRPC(l, addr, len(names))
		if err != nil {
			return nil, err
		}
		var serving sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		workers := tunnel.NewWorkers()
		for i, name := range names {
			c := client.New(conns[i], name, client.WithWorkers(workers))
			benchpb.RegisterEchoServer(c, echoServer{})
			// A client that does not come up shows in the count of sessions.
			serving.Go(func() { _ = c.Serve(ctx) })
		}
		return &end{close: func() error {
			cancel()
			serving.Wait()
			workers.Close()
			return closeAll(conns)
		}}, nil
	},
}
