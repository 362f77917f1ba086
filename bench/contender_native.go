package main

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/pushtunnel/pushtunnel/bench/benchpb"
	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// nativeProtocol is this library with brpc-java's framing on raw TCP, and Go at
// both ends.
var nativeProtocol = contender{
	name: "native protocol",
	listen: func(link) (*end, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		p := newPush("native")
		served := make(chan error, 1)
		go func() { served <- p.server.Serve(l, native.Protocol(native.WithPushes(&benchpb.Echo_ServiceDesc))) }()
		e := &end{addr: l.Addr().String()}
		p.complete(e, func() error { return errors.Join(p.server.Close(), <-served) })
		return e, nil
	},
	connect: func(_ link, addr string, names []string) (*end, error) {
		var serving sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		workers := tunnel.NewWorkers()
		for _, name := range names {
			c := client.NewDialer(native.Dialer(addr), name, client.WithWorkers(workers))
			benchpb.RegisterEchoServer(c, echoServer{})
			serving.Go(func() { _ = c.Serve(ctx) })
		}
		return &end{close: func() error {
			cancel()
			serving.Wait()
			workers.Close()
			return nil
		}}, nil
	},
}
