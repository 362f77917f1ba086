package tunnel

import (
	"context"
	"io"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// callStats tells the stats handlers of a call's end what happens, in the same
// events as grpc-go. A nil callStats tells nobody.
type callStats struct {
	handlers   []stats.Handler
	ctx        context.Context //nolint:containedctx // that of the tags
	caller     bool
	remote     net.Addr
	compressor string
	began      time.Time
	header     bool // InHeader has been told
	trailer    bool // InTrailer has been told
}

// beginStats begins the events of a call. The context it returns carries the
// handlers' tags.
func beginStats(ctx context.Context, s *Session, caller bool, method string, desc *grpc.StreamDesc) (*callStats, context.Context) {
	c := &callStats{handlers: s.cfg.StatsHandlers, caller: caller, remote: s.cfg.Peer.Addr, began: time.Now()}
	for _, h := range c.handlers {
		ctx = h.TagRPC(ctx, &stats.RPCTagInfo{FullMethodName: method, FailFast: true})
	}
	c.ctx = ctx
	c.tell(&stats.Begin{
		Client: caller, BeginTime: c.began, FailFast: caller,
		IsClientStream: desc.ClientStreams, IsServerStream: desc.ServerStreams,
	})
	return c, ctx
}

func (c *callStats) tell(event stats.RPCStats) {
	for _, h := range c.handlers {
		h.HandleRPC(c.ctx, event)
	}
}

func (c *callStats) outHeader(method string, md metadata.MD) {
	if c == nil {
		return
	}
	e := &stats.OutHeader{Client: c.caller, Header: md.Copy(), Compression: c.compressor}
	if c.caller {
		e.FullMethod, e.RemoteAddr = method, c.remote
	}
	c.tell(e)
}

func (c *callStats) outPayload(m any, plain, sent int) {
	if c == nil {
		return
	}
	c.tell(&stats.OutPayload{
		Client: c.caller, Payload: m, Length: plain, CompressedLength: sent, WireLength: sent + grpcPrefix, SentTime: time.Now(),
	})
}

func (c *callStats) inPayload(m any, plain, received int) {
	if c == nil {
		return
	}
	c.tell(&stats.InPayload{
		Client: c.caller, Payload: m, Length: plain, CompressedLength: received, WireLength: received + grpcPrefix, RecvTime: time.Now(),
	})
}

func (c *callStats) outTrailer(md metadata.MD) {
	if c == nil {
		return
	}
	c.tell(&stats.OutTrailer{Trailer: md.Copy()})
}

// inRequest tells of the request's header.
func (c *callStats) inRequest(call *handlerCall) {
	c.tell(&stats.InHeader{
		Header: call.incoming.Copy(), FullMethod: call.method.name, RemoteAddr: c.remote, Compression: call.format.name(),
	})
}

// inResponse tells of the response's header and trailer, once they are there:
// err is what taking a message returned.
func (c *callStats) inResponse(call *callerCall, err error) {
	if c == nil {
		return
	}
	call.in.mu.Lock()
	header, trailer, known, over := call.header, call.trailer, call.hasHeader, call.over
	call.in.mu.Unlock()
	if known && !c.header {
		c.header = true
		c.tell(&stats.InHeader{Client: true, Header: header.Copy(), Compression: call.opts.compressorName})
	}
	if err != nil && over && !c.trailer {
		c.trailer = true
		c.tell(&stats.InTrailer{Client: true, Trailer: trailer.Copy()})
	}
}

func (c *callStats) end(err error) {
	if c == nil {
		return
	}
	e := &stats.End{Client: c.caller, BeginTime: c.began, EndTime: time.Now()}
	if err != nil && err != io.EOF {
		st, ok := status.FromError(err)
		if !ok {
			st = status.FromContextError(err)
		}
		e.Error = st.Err()
	}
	c.tell(e)
}
