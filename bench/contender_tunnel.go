package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pushtunnel/pushtunnel/bench/benchpb"
	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// pushTunnel is this library as its README uses it: with the options that it
// recommends at both ends, and one pool of handler goroutines for all clients of a
// process.
var pushTunnel = contender{
	name:    "pushtunnel",
	streams: true,
	listen: func(l link) (*end, error) {
		l.recommended = true
		p := newPush("grpc")
		gs, err := newGRPCServer(l)
		if err != nil {
			return nil, err
		}
		return p.serveOn(gs)
	},
	connect: func(l link, addr string, names []string) (*end, error) {
		l.recommended = true
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
	name:    "pushtunnel direct",
	streams: true,
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
		l.recommended = true
		p := newPush("direct")
		gs, err := newGRPCServer(l, p.server.Direct(cfg))
		if err != nil {
			return nil, err
		}
		return p.serveOn(gs)
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

// push is the end of this library that accepts clients.
type push struct {
	server   *server.Server
	sessions atomic.Int64
}

// newPush counts the sessions of a protocol. Those of another one are not what is
// measured.
func newPush(protocol string) *push {
	p := new(push)
	count := func(s *server.Session, n int64) {
		if s.Peer().Protocol == protocol {
			p.sessions.Add(n)
		}
	}
	p.server = server.New(server.WithHooks(server.Hooks{
		Connected:    func(s *server.Session) { count(s, 1) },
		Disconnected: func(s *server.Session, _ error) { count(s, -1) },
	}))
	return p
}

// serveOn serves what clients connect to.
func (p *push) serveOn(gs *grpc.Server) (*end, error) {
	p.server.Register(gs)
	e, err := serveGRPC(gs)
	if err != nil {
		return nil, err
	}
	stop := e.close
	p.complete(e, func() error { return errors.Join(p.server.Close(), stop()) })
	return e, nil
}

// complete makes e an end that calls clients.
func (p *push) complete(e *end, stop func() error) {
	e.close = stop
	e.connected = func() int { return int(p.sessions.Load()) }
	e.stub = func(name string) benchpb.EchoClient { return benchpb.NewEchoClient(p.server.Client(name)) }
	e.call = callStub(e.stub)
	e.fanout = p.fanOut
}

// fanOut calls all clients, in this library's own way.
func (p *push) fanOut(ctx context.Context, clients int, data []byte) error {
	echo := func(ctx context.Context, s *server.Session) (*benchpb.Payload, error) {
		return benchpb.NewEchoClient(s).Call(ctx, &benchpb.Payload{Data: data})
	}
	answers := 0
	for s, r := range server.Fanout(ctx, p.server.Sessions(), echo) {
		if r.Err != nil {
			return fmt.Errorf("%s: %w", s.Name(), r.Err)
		}
		answers++
	}
	if answers != clients {
		return fmt.Errorf("%d clients have answered, not %d", answers, clients)
	}
	return nil
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
