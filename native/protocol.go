package native

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pushtunnel/pushtunnel/internal/bufpool"
	"github.com/pushtunnel/pushtunnel/internal/stack"
	"github.com/pushtunnel/pushtunnel/native/java"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// The names of the method that takes registrations (RegisterService), and of its
// result.
const (
	registerService = "com.baidu.brpc.server.push.RegisterService"
	registerMethod  = "registerClient"
	registerResult  = "com.baidu.brpc.server.push.Response"
)

// errSurplus is why a connection is closed that a client has too many of.
var errSurplus = errors.New("the client has too many connections")

// protocol is the accepting end.
type protocol struct {
	opts   *options
	pushes *methods // that are called at clients
	roster roster
}

// Protocol returns the native protocol for server.Server.Serve: connections of
// brpc-java clients, and of this package's Dialer. They register under the names
// that gRPC clients use, and may call the services of WithServices. It panics if a
// service of WithPushes cannot be mapped to Java: see Check.
func Protocol(opts ...Option) tunnel.Protocol {
	o := newOptions(opts)
	return &protocol{opts: o, pushes: methodsOf(o.pushes)}
}

// Name returns "native", or what WithName has set.
func (p *protocol) Name() string { return p.opts.name }

// Match knows the protocol by the first head.
func (p *protocol) Match(prefix []byte) tunnel.Match {
	if len(prefix) < p.opts.head.Size() {
		return tunnel.MatchMore
	}
	h, err := p.opts.head.Parse(prefix[:p.opts.head.Size()])
	if err != nil || h.Body < 0 || h.Body > p.opts.maxBody {
		return tunnel.MatchNo
	}
	return tunnel.MatchYes
}

// Serve serves a connection. Most of the time it waits for the client, and then its
// stack is most of what the connection costs: so what takes more stack than
// waiting does is done apart.
func (p *protocol) Serve(ctx context.Context, nc net.Conn, a tunnel.Acceptor) error {
	c, stop := p.begin(ctx, nc, a)
	err := c.read()
	p.finish(c, stop, err)
	return err
}

// begin sets a connection up. stop undoes what ends it with ctx.
//
//go:noinline
func (p *protocol) begin(ctx context.Context, nc net.Conn, a tunnel.Acceptor) (c *conn, stop func() bool) {
	stack.Apart(func() {
		c = newConn(ctx, nc, serverRole, p.opts, nil)
		c.take = func(h Head, body *[]byte) error { return p.take(c, a, h, body) }
		cfg := a.Config()
		c.in.memory = cfg.Memory
		c.idle = cfg.WithDefaults().HandshakeTimeout // until the first frame
		stop = context.AfterFunc(ctx, func() { c.close(c.lost(context.Cause(ctx))) })
	})
	return c, stop
}

//go:noinline
func (p *protocol) finish(c *conn, stop func() bool, err error) {
	stop()
	if c.client != nil {
		c.client.left(c, err)
	}
}

// config is what a connection's handlers go by: made when it is needed first, since
// most connections need none before they are registered.
func (p *protocol) config(c *conn, a tunnel.Acceptor, remote tunnel.Peer) *tunnel.Config {
	cfg := a.Config()
	cfg.Peer, _ = peer.FromContext(c.ctx)
	remote.Protocol = p.opts.name
	cfg.Remote = remote
	cfg.Services = &noServices
	if p.opts.services != nil {
		cfg.Services = &p.opts.services.Services
	}
	cfg.UnaryInterceptor = p.opts.unary
	cfg = cfg.WithDefaults()
	return &cfg
}

var noServices tunnel.Services

// withoutStats returns the configuration for the calls of the other direction: the
// stats handlers of a server see its pushes and those of a client the pushes that it
// serves, and nothing else.
func withoutStats(cfg *tunnel.Config) *tunnel.Config {
	if len(cfg.StatsHandlers) == 0 {
		return cfg
	}
	other := *cfg
	other.StatsHandlers = nil
	return &other
}

// take handles a frame.
func (p *protocol) take(c *conn, a tunnel.Acceptor, h Head, body *[]byte) error {
	c.heard.Store(time.Now().UnixMilli())
	p.setIdle(c)
	switch h.Type {
	case TypePushResponse:
		p.spoke(c)
		c.complete(h, body)
		return nil
	case TypeRequest, TypeRegister:
		if mayRegister(h, *body) {
			registered, err := p.tryRegister(c, a, h, *body)
			if registered || err != nil {
				bufpool.Pool.Put(body)
				return err
			}
		}
		p.spoke(c)
		var ms *methods
		if p.opts.services != nil {
			ms = &p.opts.services.methods
		}
		var l *link
		if c.client != nil {
			l = c.client.link
		}
		if c.cfg.Load() == nil {
			c.cfg.Store(withoutStats(p.config(c, a, tunnel.Peer{Addr: c.nc.RemoteAddr()})))
		}
		c.serve(ms, l, h, body)
		return nil
	default:
		bufpool.Pool.Put(body)
		return broken("a frame of %v, which clients do not send", h.Type)
	}
}

// setIdle lets a connection be silent for as long as it may: for ever if it has a
// name.
func (p *protocol) setIdle(c *conn) {
	c.idle = p.opts.idle
	c.in.known = c.client != nil
	if c.in.known {
		c.idle = 0
	}
}

// spoke notes that the client has sent something besides its registrations.
func (p *protocol) spoke(c *conn) {
	if !c.spoken && c.client != nil {
		c.spoken = true
		c.client.alive()
	}
}

// mayRegister is a quick look at whether a call may be a registration.
func mayRegister(h Head, b []byte) bool {
	return h.Type == TypeRegister || bytes.Contains(b, []byte("egister"))
}

// tryRegister handles a registration, and reports whether the call is one.
func (p *protocol) tryRegister(c *conn, a tunnel.Acceptor, h Head, b []byte) (bool, error) {
	reg, name, err := parseRegistration(h, b)
	if err != nil || reg == nil {
		return false, err
	}
	reg.name = name
	if c.rate != nil && !c.rate.Allow() { // each asks who the client is
		return true, tunnel.LimitCallRate.Status("pushtunnel: the limit %q is reached: %v calls in a second", string(tunnel.LimitCallRate), c.rate.Limit()).Err()
	}
	err = p.register(c, a, reg)
	p.setIdle(c)
	return true, err
}

// parseRegistration returns a registration and its name if the call is one.
func parseRegistration(h Head, b []byte) (*registration, string, error) {
	body, err := java.ParseBody(b)
	if err != nil {
		return nil, "", nil // the caller finds out again, and says so
	}
	if !strings.EqualFold(body.Method, registerMethod) || !strings.EqualFold(body.Service, registerService) {
		return nil, "", nil
	}
	reg := &registration{id: h.CorrelationID, process: h.LogID, acknowledged: h.Type == TypeRequest, at: time.Now()}
	args, err := java.ParseArgs(body.Parameters, java.Limits{Depth: 1, Elements: 1}) // a name; the reader waits
	if err != nil {
		return nil, "", broken("a registration that cannot be read: %w", err)
	}
	if len(args) == 0 || args[0] == nil {
		return reg, "", nil // no name was set: Java clients send null then
	}
	name, ok := args[0].(string)
	if !ok {
		return nil, "", broken("a registration with a %T for a name", args[0])
	}
	if strings.TrimSpace(name) == "" {
		return reg, "", nil
	}
	if err := tunnel.CheckName(name); err != nil {
		return nil, "", broken("%w", err)
	}
	return reg, name, nil
}

// register enters the connection under the name that it has sent. The last name
// counts. Without one the client is anonymous: it may call, and is not pushed to.
func (p *protocol) register(c *conn, a tunnel.Acceptor, reg *registration) error {
	var refused error
	if cl := c.client; cl != nil && c.claimed != reg.name {
		c.client = nil
		cl.left(c, nil)
	}
	if c.client == nil && reg.name != "" {
		if refused = p.join(c, a, *reg); refused != nil {
			c.client = nil
		}
	}
	c.cfg.Store(nil)
	if c.client != nil {
		c.cfg.Store(withoutStats(c.client.cfg)) // for the handlers of its calls
	}
	switch {
	case reg.acknowledged && !heals(refused):
		frame := p.opts.newFrame(0)
		*frame = appendRegisterResult(*frame, refused)
		err := c.sendLast(TypeResponse, reg.id, frame)
		if refused != nil {
			c.part(c.lost(refused))
			return refused
		}
		return err
	case refused == nil && p.opts.tellRegister:
		return c.sendLast(TypeRegisterResponse, reg.id, p.opts.newFrame(0))
	}
	return refused
}

// heals reports whether a registration that was refused may do better later: then the
// connection is closed without an answer, after which clients come back. An answer
// tells them to stop.
func heals(refused error) bool { return refused != nil && !tunnel.Permanent(status.Code(refused)) }

// appendRegisterResult appends the body of the answer to a registration: a
// Response{int code; String message}, of which code 0 means success.
func appendRegisterResult(b []byte, refused error) []byte {
	content := java.POJO{Class: registerResult, Fields: []java.Field{{Number: 1, Type: protowire.VarintType, Value: []byte{0}}}}
	if refused != nil {
		content.Fields[0].Value = []byte{1}
		content.Fields = append(content.Fields, java.Field{Number: 2, Type: protowire.BytesType, Value: []byte(refused.Error())})
	}
	value, err := java.Append(nil, content)
	if err != nil {
		return b
	}
	body := java.Body{Service: registerService, Method: registerMethod, Content: value}
	return body.Append(b)
}
