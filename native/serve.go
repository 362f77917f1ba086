package native

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pushtunnel/pushtunnel/internal/bufpool"
	"github.com/pushtunnel/pushtunnel/internal/logattr"
	"github.com/pushtunnel/pushtunnel/native/java"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// sendAhead is how many bytes may wait on a connection before an answer waits.
const sendAhead = 1 << 20

// served is a call of the peer that is to be served.
type served struct {
	c       *conn
	cfg     *tunnel.Config
	methods *methods // those that are served; nil for none
	head    Head
	body    *[]byte
	size    int   // of the body, which counts until the call has ended
	link    *link // counts it; nil for a connection without a session
}

// serve serves a call of the peer on another goroutine. It takes the body.
func (c *conn) serve(ms *methods, l *link, h Head, body *[]byte) {
	cfg := c.cfg.Load()
	if err := c.enter(cfg, len(*body)); err != nil {
		bufpool.Pool.Put(body)
		c.failed(h, nil, "", err)
		return
	}
	if l != nil {
		l.count(1)
	}
	s := &served{c: c, cfg: cfg, methods: ms, head: h, body: body, size: len(*body), link: l}
	cfg.Workers.Go(s.run)
}

// enter counts a call of the peer in, with the memory that it holds. It returns an
// error if that would be too much.
func (c *conn) enter(cfg *tunnel.Config, size int) error {
	calls, held := c.served.Add(1), c.held.Add(int64(size))
	most := int32(min(max(cfg.MaxCalls, 1), 1<<30)) //nolint:gosec // bounded
	switch {
	case calls > most:
		c.exit(size)
		return tunnel.LimitCalls.Status("pushtunnel: the limit %q is reached: %d calls at a time", string(tunnel.LimitCalls), most).Err()
	case held > cfg.MaxBuffered && calls > 1:
		c.exit(size)
		return tunnel.LimitBuffered.Status("pushtunnel: the limit %q is reached: the calls of a connection hold %d bytes", string(tunnel.LimitBuffered), cfg.MaxBuffered).Err()
	case c.rate != nil && !c.rate.Allow():
		c.exit(size)
		return tunnel.LimitCallRate.Status("pushtunnel: the limit %q is reached: %v calls in a second", string(tunnel.LimitCallRate), c.rate.Limit()).Err()
	case !cfg.Memory.Take(int64(size), held-int64(size)):
		c.exit(size)
		return tunnel.LimitMemory.Status("pushtunnel: the limit %q is reached", string(tunnel.LimitMemory)).Err()
	}
	return nil
}

// exit counts a call out.
func (c *conn) exit(size int) {
	c.served.Add(-1)
	c.held.Add(-int64(size))
}

func (s *served) run() {
	defer func() {
		s.c.exit(s.size)
		s.cfg.Memory.Give(int64(s.size))
		if s.link != nil {
			s.link.count(-1)
		}
	}()
	body, err := java.ParseBody(*s.body)
	if err != nil {
		bufpool.Pool.Put(s.body)
		s.c.failed(s.head, nil, "", status.Errorf(codes.InvalidArgument, "pushtunnel: the call cannot be read: %v", err))
		return
	}
	name := body.Service + "." + body.Method
	var m *method
	if s.methods != nil {
		m = s.methods.find(body.Service, body.Method)
	}
	ctx, cancel := s.context()
	defer cancel()
	var frame *[]byte
	switch {
	case m != nil:
		frame, err = s.mapped(ctx, m, body.Parameters)
	case s.c.opts.unknown != nil:
		frame, err = s.dynamic(ctx, &body)
	default:
		bufpool.Pool.Put(s.body)
		err = status.Errorf(codes.Unimplemented, "unknown method %s", name)
	}
	if frame != nil {
		defer bufpool.Pool.Put(frame)
	}
	if err == nil {
		err = s.c.fits(*frame)
	}
	if err == nil && s.c.answers == TypePushResponse && ctx.Err() != nil {
		err = status.FromContextError(ctx.Err()).Err() // nobody waits any more
	}
	if err != nil {
		s.c.failed(s.head, m, name, err)
		return
	}
	if s.head.Type == TypeRegister {
		return // a call that gets no answer
	}
	s.c.out.Wait(ctx, sendAhead)
	if err := s.c.send(s.c.answers, s.head.CorrelationID, frame); err != nil {
		s.c.opts.logger.LogAttrs(ctx, slog.LevelDebug, "answer is late", append(s.c.attrs(name), logattr.Reason(err)...)...)
	}
}

// context returns the context of the call's handler.
func (s *served) context() (context.Context, context.CancelFunc) {
	if d := s.c.opts.answerWithin; s.c.answers == TypePushResponse && d > 0 {
		return context.WithTimeout(s.c.ctx, d)
	}
	return context.WithCancel(s.c.ctx)
}

// errNull is what a call comes to whose result cannot be encoded.
var errNull = errors.New("the result is null, which has no encoding: return a value, or set option (pushtunnel.java.v1.method).null_result")

// mapped runs the handler of a service, and returns a frame with its result. It
// frees the body.
func (s *served) mapped(ctx context.Context, m *method, params []byte) (*[]byte, error) {
	request, err := m.Request(params)
	bufpool.Pool.Put(s.body)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "pushtunnel: the call cannot be read: %v", err)
	}
	reply, err := s.cfg.ServeUnary(ctx, m.FullMethod, request)
	if err != nil {
		return nil, err
	}
	defer reply.Free()
	content := bufpool.Pool.Get(reply.Len() + frameRoom)
	defer func() { bufpool.Pool.Put(content) }()
	var null bool
	if *content, null, err = m.AppendContent((*content)[:0], reply.ReadOnlyData()); err != nil {
		return nil, status.Errorf(codes.Internal, "pushtunnel: the result cannot be sent: %v", err)
	}
	if null {
		return nil, errNull
	}
	frame := s.c.opts.newFrame(len(*content))
	*frame = append(*frame, m.names...)
	*frame = protowire.AppendTag(*frame, fieldContent, protowire.BytesType)
	*frame = protowire.AppendBytes(*frame, *content)
	return frame, nil
}

// dynamic runs the handler of all that is unknown, and returns a frame with its
// result. It frees the body.
func (s *served) dynamic(ctx context.Context, body *java.Body) (*[]byte, error) {
	args, err := java.ParseArgs(body.Parameters, java.Limits{})
	bufpool.Pool.Put(s.body)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "pushtunnel: the call cannot be read: %v", err)
	}
	handler := func(ctx context.Context, req any) (any, error) {
		args, ok := req.([]any)
		if !ok {
			return nil, fmt.Errorf("an interceptor has made a %T of the arguments", req)
		}
		return s.c.opts.unknown(ctx, body.Service, body.Method, args)
	}
	path := "/" + body.Service + "/" + body.Method
	ctx = s.cfg.HandlerContext(ctx, path)
	var result any
	if s.cfg.UnaryInterceptor == nil {
		result, err = handler(ctx, args)
	} else {
		result, err = s.cfg.UnaryInterceptor(ctx, args, &grpc.UnaryServerInfo{FullMethod: path}, handler)
	}
	if err != nil {
		return nil, err
	}
	if result == nil {
		return nil, errNull
	}
	content, err := java.Append(nil, result)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "pushtunnel: the result cannot be sent: %v", err)
	}
	answer := java.Body{Service: body.Service, Method: body.Method, Content: content}
	frame := s.c.opts.newFrame(len(content))
	*frame = answer.Append(*frame)
	return frame, nil
}

// attrs are the keys by which the log names a call of the peer.
func (c *conn) attrs(method string) []slog.Attr {
	p := tunnel.Peer{Protocol: c.opts.name, Addr: c.nc.RemoteAddr()}
	if cfg := c.cfg.Load(); cfg != nil {
		p = cfg.Remote
	}
	return append(logattr.Client(p), logattr.Method(method))
}

// failed does with a failed call what the policy says. The reader may call it.
func (c *conn) failed(h Head, m *method, name string, err error) {
	st := status.Convert(err)
	reason := clip(st.Message())
	if c.opts.failures.Allow() {
		c.opts.logger.LogAttrs(c.ctx, slog.LevelWarn, "native call failed", append(c.attrs(clip(name)), logattr.Reason(err)...)...)
	}
	if h.Type == TypeRegister {
		return
	}
	switch c.opts.errors {
	case Silence:
	case CloseConnection:
		c.close(c.lost(err))
	case WrongType:
		if m == nil || m.AnyResult {
			return // any type may be right
		}
		var wrong any = st.Code().String() + ": " + reason
		if m.StringResult {
			wrong = false
		}
		content, err := java.Append(nil, wrong)
		if err != nil {
			return
		}
		frame := c.opts.newFrame(len(content))
		answer := java.Body{Service: m.JavaService, Method: m.JavaMethod, Content: content}
		*frame = answer.Append(*frame)
		c.sendLast(c.answers, h.CorrelationID, frame) //nolint:errcheck // then the connection has gone
	}
}

// maxText is how much is kept of a text that a peer may have a part in.
const maxText = 1 << 10

// clip shortens a text that may have come from the peer: names of classes and
// methods may be as long as a body.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "..."
}

// registration is a client's name as it came.
type registration struct {
	name         string // empty: anonymous
	id           int64  // the call's
	process      int64  // tells the client's processes apart; 0 if it does not say
	acknowledged bool   // an answer is expected
	at           time.Time
}
