package gateway

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/internal/relay"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// What a method is, only the two ends know. A call whose caller has said all at once
// is made as one with a single request, which costs less; all others are made as
// streams in both directions.
var (
	oneRequest = &grpc.StreamDesc{ServerStreams: true}
	both       = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
)

// forward forwards a call to where its metadata say. It returns the call's end.
func (g *Gateway) forward(caller grpc.ServerStream, method string) error {
	trailer, err := g.stream(caller, method)
	caller.SetTrailer(withOutcome(trailer, err))
	return err
}

func (g *Gateway) stream(caller grpc.ServerStream, method string) (trailer metadata.MD, err error) {
	r, md, err := g.admit(caller.Context(), method)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(metadata.NewOutgoingContext(caller.Context(), md))
	defer cancel(nil)
	in := listen(caller, cancel)
	defer in.leave()
	first, whole, err := in.opening(ctx)
	if err != nil {
		return nil, tunnel.NewError(status.Convert(err), tunnel.OutcomeNotSent, err)
	}
	desc := both
	if whole {
		desc = oneRequest
	}
	var callee grpc.ClientStream
	err = g.reach(ctx, &r, func(cc grpc.ClientConnInterface) (err error) {
		callee, err = cc.NewStream(ctx, desc, method, r.callOptions(md)...)
		return err
	})
	if err != nil {
		return nil, err
	}
	if whole {
		if first != nil {
			defer first.free()    // an interceptor may send it more than once
			callee.SendMsg(first) //nolint:errcheck // RecvMsg says more
		}
		callee.CloseSend() //nolint:errcheck // always nil
	} else {
		in.pass(callee)
	}
	err = down(caller, callee)
	if err != nil && ctx.Err() != nil && caller.Context().Err() == nil {
		err = context.Cause(ctx) // why the intake has given the call up
	}
	return callee.Trailer(), err
}

// down forwards what the client answers. It returns the call's end: nil if it ended
// well.
func down(caller grpc.ServerStream, callee grpc.ClientStream) error {
	header, err := callee.Header()
	if err != nil {
		return err
	}
	if header != nil {
		send := caller.SendHeader
		if relay.Pending(callee) {
			send = caller.SetHeader // it goes along with what comes next
		}
		if err := send(header); err != nil {
			return err
		}
	}
	for m := new(frame); ; {
		switch err := callee.RecvMsg(m); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := caller.SendMsg(m); err != nil {
			return tunnel.NewError(status.Convert(err), tunnel.OutcomeUnknown, err)
		}
	}
}

// callOptions returns the options of the call to the client.
func (r *route) callOptions(md metadata.MD) []grpc.CallOption {
	opts := []grpc.CallOption{grpc.ForceCodecV2(theCodec()), grpc.WaitForReady(r.waits)}
	if s := subtype(md); s != "" {
		opts = append(opts, grpc.CallContentSubtype(s))
	}
	return opts
}

// withOutcome returns the trailer of a call that ended with err: the client's, and
// how far the call came if it failed.
func withOutcome(trailer metadata.MD, err error) metadata.MD {
	delete(trailer, OutcomeKey) // no client says that
	if err == nil {
		return trailer
	}
	return metadata.Join(trailer, metadata.Pairs(OutcomeKey, tunnel.OutcomeOf(err).String()))
}
