package tunnel

import (
	"context"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// A protocol of its own, if its calls have one message each way, makes its Links
// of what is in this file: it adds the bytes in between.

// UnaryCall is a call that a Link makes.
type UnaryCall struct {
	// Method is the method's full name: "/package.Service/Method".
	Method string
	// Args is the request, Reply is where the answer goes. They are usually
	// messages; see Encode and Decode.
	Args, Reply any

	cfg   *Config
	opts  callOptions
	stats *callStats
}

// Encode returns the bytes of Args, in the codec that the call asks for, which
// usually is protobuf. The caller frees the buffer.
func (c *UnaryCall) Encode() (mem.Buffer, error) {
	e, err := c.opts.encode(c.Args, c.opts.maxSend)
	if err != nil {
		return nil, err
	}
	c.stats.outPayload(c.Args, e.plain, e.plain)
	return e.data, nil
}

// Decode puts bytes of that codec into Reply. It does not keep them.
func (c *UnaryCall) Decode(b []byte) error {
	if len(b) > c.opts.maxRecv {
		return LimitMessage.exceeded(OutcomeAnswered, "grpc: received message larger than max (%d vs. %d)", len(b), c.opts.maxRecv)
	}
	if err := c.opts.codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, c.Reply); err != nil {
		return status.Errorf(codes.Internal, "grpc: failed to unmarshal the received message: %v", err)
	}
	if c.stats != nil {
		c.stats.tell(&stats.InHeader{Client: true})
		c.stats.inPayload(c.Reply, len(b), len(b))
	}
	return nil
}

// Limit returns the largest answer in bytes that the call takes.
func (c *UnaryCall) Limit() int { return c.opts.maxRecv }

// InvokeUnary does for a unary call what is the same in all protocols: call
// options, stats handlers, the outcome of an error. exchange does the rest:
// it encodes, sends, waits for the answer and decodes. Its error should be an
// *Error; if it is not, the outcome is OutcomeAnswered. Metadata, credentials and
// compression are not sent: a protocol that can reads them from ctx.
func (c *Config) InvokeUnary(ctx context.Context, method string, args, reply any, opts []grpc.CallOption, exchange func(context.Context, *UnaryCall) error) error {
	o, err := c.parseOptions(opts)
	if err != nil {
		err = NewError(status.Convert(err), OutcomeNotSent, nil)
		tellFinished(opts, err)
		return err
	}
	o.compressor = nil
	call := &UnaryCall{Method: method, Args: args, Reply: reply, cfg: c, opts: o}
	if err := ctx.Err(); err != nil {
		err = NewError(status.FromContextError(err), OutcomeNotSent, err)
		tellFinished(opts, err)
		return err
	}
	if len(c.StatsHandlers) > 0 {
		call.stats, ctx = beginCallerStats(ctx, c, method, unaryDesc, &call.opts, time.Now())
		md, _ := metadata.FromOutgoingContext(ctx)
		call.stats.outHeader(method, md)
	}
	err = exchange(ctx, call)
	call.end(err)
	return err
}

// end tells what is to be told of the call's end.
func (c *UnaryCall) end(err error) {
	if c.stats != nil {
		if err == nil {
			c.stats.tell(&stats.InTrailer{Client: true})
		}
		c.stats.end(err, nil)
	}
	if c.opts.header != nil {
		*c.opts.header = nil
		if err == nil {
			*c.opts.header = metadata.MD{}
		}
	}
	if c.opts.trailer != nil {
		*c.opts.trailer = metadata.MD{}
	}
	if c.opts.peer != nil {
		*c.opts.peer = *c.cfg.Peer
	}
	for _, f := range c.opts.onFinish {
		f(err)
	}
}

// ServeUnary runs the handler of a method on the caller's goroutine: with the
// interceptors and stats handlers of the Config, in a context that gRPC's
// functions know. request is a protobuf message, and so is the reply, which the
// caller frees. ctx is the call's: the caller of ServeUnary ends it when the
// connection ends, and when ServeUnary has returned. Errors are what the handler
// returned, or say that there is no such handler; status.FromError reads them.
// What the handler sends as header and trailer is dropped.
func (c *Config) ServeUnary(ctx context.Context, method string, request []byte) (reply mem.Buffer, err error) {
	m, problem := c.Services.lookup([]byte(method))
	switch {
	case m == nil:
		return nil, status.Error(codes.Unimplemented, problem)
	case m.unary == nil:
		return nil, status.Errorf(codes.Unimplemented, "pushtunnel: method %s streams, which the %s protocol can't", method, c.Remote.Protocol)
	}
	ctx = c.HandlerContext(ctx, method)
	var st *callStats
	if len(c.StatsHandlers) > 0 {
		st, ctx = beginHandlerStats(ctx, c, m, nil, "")
	}
	decode := func(v any) error {
		if err := plainFormat().codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(request)}, v); err != nil {
			return status.Errorf(codes.Internal, "grpc: failed to unmarshal the received message: %v", err)
		}
		st.inPayload(v, len(request), len(request))
		return nil
	}
	v, err := m.unary(m.impl, ctx, decode, c.UnaryInterceptor)
	var e encoded
	if err == nil {
		if e, err = plainFormat().encode(v, or(c.MaxSendMsgSize, math.MaxInt32)); err == nil {
			st.outHeader(m.name, nil)
			st.outPayload(v, e.plain, e.plain)
		}
	}
	st.outTrailer(nil)
	st.end(err, nil)
	return e.data, err
}

// HandlerContext returns a context for the handler of a method: what gRPC's
// functions and PeerFromContext look for is in it. Everything else is ctx's.
func (c *Config) HandlerContext(ctx context.Context, method string) context.Context {
	return &unaryContext{Context: ctx, cfg: c, method: method}
}

// unaryContext adds to a context what gRPC's functions look for in a handler's.
type unaryContext struct {
	context.Context
	cfg    *Config
	method string

	once   sync.Once
	values context.Context //nolint:containedctx // what Value finds; made on demand
}

// Value returns the tunnel's peer, gRPC's peer, the incoming metadata, of which
// there are none, and the transport stream.
func (c *unaryContext) Value(key any) any {
	if _, ok := key.(peerKey); ok {
		return &c.cfg.Remote
	}
	if v := c.Context.Value(key); v != nil {
		return v // most of all when package context looks for what it can cancel
	}
	c.once.Do(func() {
		ctx := metadata.NewIncomingContext(context.Background(), metadata.MD{})
		ctx = peer.NewContext(ctx, c.cfg.Peer)
		c.values = grpc.NewContextWithServerTransportStream(ctx, unaryStream{c.method})
	})
	return c.values.Value(key)
}

// unaryStream is what grpc.SetHeader and its like find: it takes all and sends
// nothing.
type unaryStream struct{ method string }

func (s unaryStream) Method() string               { return s.method }
func (s unaryStream) SetHeader(metadata.MD) error  { return nil }
func (s unaryStream) SendHeader(metadata.MD) error { return nil }
func (s unaryStream) SetTrailer(metadata.MD) error { return nil }
