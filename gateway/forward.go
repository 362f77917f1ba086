package gateway

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// both describes all calls that are forwarded as streams: what a method is, only the
// two ends know.
var both = &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

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
	var callee grpc.ClientStream
	err = g.reach(ctx, &r, func(cc grpc.ClientConnInterface) (err error) {
		callee, err = cc.NewStream(ctx, both, method, r.callOptions(md)...)
		return err
	})
	if err != nil {
		return nil, err
	}
	// It ends when the call has ended at the client, or this function has returned
	// and gRPC has ended the call at the caller: nothing else ends RecvMsg of a
	// server's stream.
	go up(caller, callee, cancel)
	err = down(caller, callee)
	if err != nil && ctx.Err() != nil && caller.Context().Err() == nil {
		err = context.Cause(ctx) // why up has given the call up
	}
	return callee.Trailer(), err
}

// up forwards what the caller sends, one message after the other: while one waits to
// be sent, the next is not read. If it cannot go on it cancels the call.
func up(caller grpc.ServerStream, callee grpc.ClientStream, cancel context.CancelCauseFunc) {
	for {
		m := new(frame) // the callee may keep it until it has answered
		switch err := caller.RecvMsg(m); {
		case errors.Is(err, io.EOF):
			callee.CloseSend() //nolint:errcheck // the end of the call says more
			return
		case err != nil:
			cancel(err)
			return
		}
		switch err := callee.SendMsg(m); {
		case errors.Is(err, io.EOF):
			return // the call has ended: down knows why
		case err != nil:
			cancel(err)
			return
		}
	}
}

// down forwards what the client answers. It returns the call's end: nil if it ended
// well.
func down(caller grpc.ServerStream, callee grpc.ClientStream) error {
	header, err := callee.Header()
	if err != nil {
		return err
	}
	if header != nil {
		if err := caller.SendHeader(header); err != nil {
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

// callOptions returns the options of the call to the client.
func (r *route) callOptions(md metadata.MD) []grpc.CallOption {
	opts := []grpc.CallOption{grpc.ForceCodecV2(Codec()), grpc.WaitForReady(r.waits)}
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

// retriable reports whether a call may fare better on another session.
func retriable(err error) bool {
	code := status.Code(err)
	return tunnel.NotSent(err) && (code == codes.Unavailable || code == codes.ResourceExhausted)
}
