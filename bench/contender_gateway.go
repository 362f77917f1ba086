package main

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/bench/benchpb"
	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/server"
)

// gatewayTunnel is a backend that calls clients through a gateway: a gRPC connection
// of its own to the server to which the clients are connected.
var gatewayTunnel = contender{
	name: "gateway", streams: true, dials: true, listen: listenGateway,
	connect: func(l link, addr string, names []string) (*end, error) {
		l.recommended = true
		conns, err := dialGRPC(l, addr, len(names))
		if err != nil {
			return nil, err
		}
		stop := servePushClients(names, func(i int) (grpc.ClientConnInterface, []client.Option) { return conns[i], nil })
		return callGateway(l, addr, func() error {
			stop()
			return closeAll(conns)
		})
	},
}

// gatewayDirect is the same with clients that use the direct transport.
var gatewayDirect = contender{
	name: "gateway direct", streams: true, dials: true, listen: listenGateway,
	connect: func(l link, addr string, names []string) (*end, error) {
		clients, err := pushDirect.connect(l, addr, names)
		if err != nil {
			return nil, err
		}
		return callGateway(l, addr, clients.close)
	},
}

// listenGateway starts a server with a gateway that is open to everybody.
func listenGateway(l link) (*end, error) {
	l.recommended = true
	push := server.New()
	gw := gateway.New(push, func(context.Context, gateway.Request) error { return nil })
	gs, err := newGRPCServer(l, append(gw.ServerOptions(), push.Direct(nil))...)
	if err != nil {
		return nil, err
	}
	push.Register(gs)
	e, err := serveGRPC(gs)
	if err != nil {
		return nil, err
	}
	stop := e.close
	e.close = func() error { return errors.Join(push.Close(), stop()) }
	return e, nil
}

// callGateway returns an end that makes calls through a gateway. stop stops the
// clients.
func callGateway(l link, addr string, stop func() error) (*end, error) {
	l.recommended = true
	conns, err := dialGRPC(l, addr, 1)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	stub := func(name string) benchpb.EchoClient { return benchpb.NewEchoClient(forClient{conns[0], name}) }
	return &end{stub: stub, call: callStub(stub), close: func() error { return errors.Join(closeAll(conns), stop()) }}, nil
}

// forClient is a connection to a gateway whose calls are for one client, which they wait
// for.
type forClient struct {
	*grpc.ClientConn
	name string
}

func (c forClient) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.ClientConn.Invoke(c.context(ctx), method, args, reply, opts...)
}

func (c forClient) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.ClientConn.NewStream(c.context(ctx), desc, method, opts...)
}

func (c forClient) context(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, gateway.ClientKey, c.name, gateway.WaitKey, "true")
}
