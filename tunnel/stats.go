package tunnel

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// callStats tells the stats handlers of a call's end what happens, in the same
// events as grpc-go. A nil callStats tells nobody.
type callStats struct {
	handlers   []stats.Handler
	ctx        context.Context //nolint:containedctx // that of the tags
	caller     bool
	peer       *peer.Peer
	compressor string
	began      time.Time
	header     bool // InHeader has been told; call.in.mu guards it
}

// beginCallerStats begins the events of a call at the caller. The context it
// returns carries the handlers' tags.
func beginCallerStats(ctx context.Context, cfg *Config, method string, desc *grpc.StreamDesc, opts *callOptions, began time.Time) (*callStats, context.Context) {
	c := &callStats{
		handlers: cfg.StatsHandlers, caller: true, peer: cfg.Peer, compressor: opts.compressorName, began: began,
	}
	ctx = c.tag(ctx, &stats.RPCTagInfo{FullMethodName: method, FailFast: !opts.wait})
	c.tell(&stats.Begin{
		Client: true, BeginTime: c.began, FailFast: !opts.wait,
		IsClientStream: desc.ClientStreams, IsServerStream: desc.ServerStreams,
	})
	return c, ctx
}

// beginHandlerStats begins the events of a call at the handler. The context it
// returns carries the handlers' tags.
func beginHandlerStats(ctx context.Context, cfg *Config, method *method, incoming metadata.MD, compressor string) (*callStats, context.Context) {
	c := &callStats{handlers: cfg.StatsHandlers, peer: cfg.Peer, compressor: compressor, began: time.Now()}
	ctx = c.tag(ctx, &stats.RPCTagInfo{FullMethodName: method.name})
	c.tell(&stats.InHeader{
		Header: incoming.Copy(), FullMethod: method.name, Compression: c.compressor,
		RemoteAddr: c.peer.Addr, LocalAddr: c.peer.LocalAddr,
	})
	c.tell(&stats.Begin{
		BeginTime: c.began, IsClientStream: method.stream.ClientStreams, IsServerStream: method.stream.ServerStreams,
	})
	return c, ctx
}

// TellUnsent tells the stats handlers of a call that failed with err before a
// session took it: a begin and an end, as of a call in grpc-go that finds no
// connection. began is when the call was made. Without handlers it does nothing.
func (c *Config) TellUnsent(ctx context.Context, method string, desc *grpc.StreamDesc, wait bool, began time.Time, err error) {
	if len(c.StatsHandlers) == 0 {
		return
	}
	told, _ := beginCallerStats(ctx, c, method, desc, &callOptions{wait: wait, rareOptions: noRareOptions}, began)
	told.end(err, nil)
}

func (c *callStats) tag(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	for _, h := range c.handlers {
		ctx = h.TagRPC(ctx, info)
	}
	c.ctx = ctx
	return ctx
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
		e.FullMethod, e.RemoteAddr, e.LocalAddr = method, c.peer.Addr, c.peer.LocalAddr
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

// inHeader tells of the response's header, once, if it is there.
func (c *callStats) inHeader(call *callerCall) {
	if c == nil {
		return
	}
	call.in.mu.Lock()
	header, due := call.header, call.hasHeader && !c.header
	c.header = c.header || due
	call.in.mu.Unlock()
	if due {
		c.tell(&stats.InHeader{Client: true, Header: header.Copy(), Compression: c.compressor})
	}
}

// endCaller tells of what there is of the response, and of the end of the call.
func (c *callStats) endCaller(call *callerCall, err error) {
	if c == nil {
		return
	}
	c.inHeader(call)
	call.in.mu.Lock()
	over, trailer := call.over, call.trailer
	call.in.mu.Unlock()
	if over {
		c.tell(&stats.InTrailer{Client: true, Trailer: trailer.Copy()})
	}
	c.end(err, trailer)
}

// end tells of the end of a call. The trailer is the caller's.
func (c *callStats) end(err error, trailer metadata.MD) {
	if c == nil {
		return
	}
	e := &stats.End{Client: c.caller, BeginTime: c.began, EndTime: time.Now(), Trailer: trailer}
	if err != nil {
		st, ok := status.FromError(err)
		if !ok {
			st = status.FromContextError(err)
		}
		e.Error = st.Err()
	}
	c.tell(e)
}
