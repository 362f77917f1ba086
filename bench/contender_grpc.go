package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pushtunnel/pushtunnel/bench/benchpb"
	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
)

// plainGRPC is the reference: grpc-go's own unary calls in the forward
// direction. Each client is a grpc.ClientConn, and the ClientConns make the
// calls; it is what a server would have if it could dial its clients.
var plainGRPC = contender{
	name:    "plain grpc-go",
	streams: true,
	dials:   true,
	listen: func(l link) (*end, error) {
		gs, err := newGRPCServer(l)
		if err != nil {
			return nil, err
		}
		benchpb.RegisterEchoServer(gs, echoServer{})
		return serveGRPC(gs)
	},
	connect: func(l link, addr string, names []string) (*end, error) {
		conns, err := dialGRPC(l, addr, len(names))
		if err != nil {
			return nil, err
		}
		byName := make(map[string]*grpc.ClientConn, len(names))
		for i, name := range names {
			byName[name] = conns[i]
		}
		stub := func(name string) benchpb.EchoClient { return benchpb.NewEchoClient(byName[name]) }
		return &end{stub: stub, call: callStub(stub), close: func() error { return closeAll(conns) }}, nil
	},
}

// newGRPCServer returns a server whose connections are as l says.
func newGRPCServer(l link, opts ...grpc.ServerOption) (*grpc.Server, error) {
	if l.recommended {
		opts = append(server.RecommendedOptions(), opts...)
	}
	if l.recommended && l.tls {
		opts = append(opts, grpc.ReadBufferSize(0)) // docs/PERFORMANCE.md, "What to set"
	}
	if l.tls {
		cert, err := selfSigned()
		if err != nil {
			return nil, err
		}
		opts = append(opts, grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	}
	return grpc.NewServer(opts...), nil
}

// serveGRPC serves gs on a port of its own. The end can be closed, and no more.
func serveGRPC(gs *grpc.Server) (*end, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	served := make(chan error, 1)
	go func() { served <- gs.Serve(lis) }()
	return &end{
		addr: lis.Addr().String(),
		close: func() error {
			gs.Stop()
			return <-served
		},
	}, nil
}

// dialGRPC returns count connections to addr that are up.
func dialGRPC(l link, addr string, count int) ([]*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if l.tls {
		// The certificate was made a moment ago, at the other end.
		creds = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	}
	opts := []grpc.DialOption{grpc.WithTransportCredentials(creds)}
	if l.recommended {
		opts = append(client.RecommendedOptions(), opts...)
	}
	conns := make([]*grpc.ClientConn, count)
	err := each(count, dialsAtOnce, func(i int) error {
		cc, err := grpc.NewClient("passthrough:///"+addr, opts...)
		if err != nil {
			return err
		}
		conns[i] = cc
		cc.Connect()
		for {
			switch state := cc.GetState(); state {
			case connectivity.Ready:
				return nil
			case connectivity.TransientFailure, connectivity.Shutdown:
				return fmt.Errorf("connection is %v", state)
			default:
				cc.WaitForStateChange(context.Background(), state)
			}
		}
	})
	if err != nil {
		return nil, errors.Join(err, closeAll(conns))
	}
	return conns, nil
}

// closeAll closes those of conns that are not nil.
func closeAll(conns []*grpc.ClientConn) error {
	var errs []error
	for _, cc := range conns {
		if cc != nil {
			errs = append(errs, cc.Close())
		}
	}
	return errors.Join(errs...)
}
