package gateway

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// invoke forwards a unary call whose request gRPC has decoded.
func (g *Gateway) invoke(ctx context.Context, method string, req any) (any, error) {
	reply, header, trailer, err := g.unary(ctx, method, req)
	if len(header) > 0 {
		if err := grpc.SetHeader(ctx, header); err != nil {
			return nil, err
		}
	}
	if err := grpc.SetTrailer(ctx, withOutcome(trailer, err)); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	return reply, nil
}

func (g *Gateway) unary(ctx context.Context, method string, req any) (reply *frame, header, trailer metadata.MD, err error) {
	r, md, err := g.admit(ctx, method)
	if err != nil {
		return nil, nil, nil, err
	}
	ctx = metadata.NewOutgoingContext(ctx, md)
	reply = new(frame)
	err = g.reach(ctx, &r, func(cc grpc.ClientConnInterface) error {
		return cc.Invoke(ctx, method, req, reply, append(r.callOptions(md), grpc.Header(&header), grpc.Trailer(&trailer))...)
	})
	return reply, header, trailer, err
}
