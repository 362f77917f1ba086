package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// The protocol of this example: one JSON object per line, so that a terminal can
// be a client. The client says its name first. After that the server asks, and
// the client answers with the same id.
//
//	client  {"name":"c1"}
//	server  {"id":1,"method":"/examples.notifier.v1.Notifier/Notify","message":{"text":"hi"}}
//	client  {"id":1,"message":{"display":"c1"}}
//	client  {"id":2,"code":5,"error":"no such display"}

// protocolName is by which programs choose the protocol.
const protocolName = "lines"

// maxLine is the longest line in bytes that is read.
const maxLine = 1 << 20

// line is what is sent, in either direction.
type line struct {
	Name    string          `json:"name,omitempty"`
	ID      uint64          `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Message json.RawMessage `json:"message,omitempty"`
	Code    codes.Code      `json:"code,omitempty"`
	Error   string          `json:"error,omitempty"`
}

// lines is the accepting end of the protocol: a tunnel.Protocol.
type lines struct{}

func init() { tunnel.RegisterProtocol(lines{}) }

// Name names the protocol.
func (lines) Name() string { return protocolName }

// Match knows the protocol by its first byte.
func (lines) Match(prefix []byte) tunnel.Match {
	if prefix[0] == '{' {
		return tunnel.MatchYes
	}
	return tunnel.MatchNo
}

// Serve serves one connection: it reads the name, makes a session known, and then
// reads answers until the connection ends.
func (lines) Serve(ctx context.Context, conn net.Conn, a tunnel.Acceptor) error {
	defer conn.Close()
	// The server ends the connection when it closes.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := newScanner(conn)
	if err := conn.SetReadDeadline(time.Now().Add(a.Config().WithDefaults().HandshakeTimeout)); err != nil {
		return err
	}
	hello, err := in.next()
	if err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	s := newSession(conn)
	remote := tunnel.Peer{Name: hello.Name, Addr: conn.RemoteAddr()}
	if err := a.Accept(remote, func(cfg tunnel.Config) tunnel.Link { s.cfg = cfg.WithDefaults(); return s }); err != nil {
		return err
	}
	for {
		answer, err := in.next()
		if err != nil {
			s.Close(status.Errorf(codes.Unavailable, "lines: %v", err))
			return err
		}
		s.complete(answer)
	}
}

// scanner reads lines.
type scanner struct{ *bufio.Scanner }

func newScanner(r io.Reader) scanner {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	return scanner{s}
}

func (s scanner) next() (l line, err error) {
	if !s.Scan() {
		if err := s.Err(); err != nil {
			return l, err
		}
		return l, io.EOF
	}
	return l, json.Unmarshal(s.Bytes(), &l)
}

// session is a client's session: a tunnel.Link. What is the same in all protocols
// it leaves to tunnel.Config.InvokeUnary.
type session struct {
	cfg  tunnel.Config
	conn net.Conn
	done chan struct{}

	// mu guards what follows.
	mu      sync.Mutex
	pending map[uint64]chan line
	last    uint64
	ended   bool
	leaving bool
	err     error
}

func newSession(conn net.Conn) *session {
	return &session{conn: conn, done: make(chan struct{}), pending: make(map[uint64]chan line)}
}

// Invoke makes a unary call to the client.
func (s *session) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return s.cfg.InvokeUnary(ctx, method, args, reply, opts, s.exchange)
}

// exchange sends the request and waits for the answer.
func (s *session) exchange(ctx context.Context, call *tunnel.UnaryCall) error {
	args, ok := call.Args.(proto.Message)
	reply, ok2 := call.Reply.(proto.Message)
	if !ok || !ok2 {
		return failed(codes.Internal, tunnel.OutcomeNotSent, "lines: %T and %T are no protobuf messages", call.Args, call.Reply)
	}
	message, err := protojson.Marshal(args)
	if err != nil {
		return failed(codes.Internal, tunnel.OutcomeNotSent, "lines: %v", err)
	}
	id, answer, err := s.begin()
	if err != nil {
		return err
	}
	defer s.end(id)
	if err := s.send(ctx, line{ID: id, Method: call.Method, Message: message}); err != nil {
		return failed(codes.Unavailable, tunnel.OutcomeUnknown, "lines: %v", err)
	}
	select {
	case a := <-answer:
		if a.Code != codes.OK {
			return status.Error(a.Code, a.Error)
		}
		if err := protojson.Unmarshal(a.Message, reply); err != nil {
			return status.Errorf(codes.Internal, "lines: %v", err)
		}
		return nil
	case <-s.done:
		return failed(codes.Unavailable, tunnel.OutcomeUnknown, "lines: the connection to client %q was lost", s.cfg.Remote.Name)
	case <-ctx.Done():
		return tunnel.NewError(status.FromContextError(ctx.Err()), tunnel.OutcomeUnknown, ctx.Err())
	}
}

func failed(code codes.Code, outcome tunnel.Outcome, format string, args ...any) error {
	return tunnel.NewError(status.Newf(code, format, args...), outcome, nil)
}

// begin enters a call.
func (s *session) begin() (uint64, chan line, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.leaving {
		return 0, nil, failed(codes.Unavailable, tunnel.OutcomeNotSent, "lines: client %q is about to go", s.cfg.Remote.Name)
	}
	s.last++
	answer := make(chan line, 1)
	s.pending[s.last] = answer
	return s.last, answer, nil
}

// end forgets a call. The last one ends a session that is about to go.
func (s *session) end(id uint64) {
	s.mu.Lock()
	delete(s.pending, id)
	last := s.leaving && len(s.pending) == 0
	s.mu.Unlock()
	if last {
		s.Close(nil)
	}
}

// complete gives a call its answer.
func (s *session) complete(a line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer := s.pending[a.ID]; answer != nil {
		delete(s.pending, a.ID)
		answer <- a // it has room
	}
}

// send writes a line. A real protocol would let no peer that does not read hold up
// the caller.
func (s *session) send(ctx context.Context, l line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	deadline, _ := ctx.Deadline() // the zero time means none
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err = s.conn.Write(append(b, '\n'))
	return err
}

// NewStream is not for a protocol that carries one message each way.
func (s *session) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, failed(codes.Unimplemented, tunnel.OutcomeNotSent, "lines: there are no streams")
}

// Peer returns the client.
func (s *session) Peer() tunnel.Peer { return s.cfg.Remote }

// InFlight returns how many calls wait.
func (s *session) InFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

// RoundTrip returns zero: there are no heartbeats.
func (s *session) RoundTrip() time.Duration { return 0 }

// Done is closed when the session has ended.
func (s *session) Done() <-chan struct{} { return s.done }

// Err tells why.
func (s *session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the session.
func (s *session) Close(err error) {
	s.mu.Lock()
	first := !s.ended
	if first {
		s.ended, s.err = true, err
	}
	s.mu.Unlock()
	if first {
		close(s.done)
		s.conn.Close()
		s.cfg.OnEnd()
	}
}

// Wait waits for the end.
func (s *session) Wait() { <-s.done }

// GoAway lets the calls under way end, and then the session.
func (s *session) GoAway(g tunnel.GoAway) {
	s.cfg.OnGoAway(g) // it takes no new calls
	s.mu.Lock()
	s.leaving = true
	idle := len(s.pending) == 0
	s.mu.Unlock()
	if idle {
		s.Close(nil)
	}
}

// Leave is for clients that dial.
func (s *session) Leave(context.Context) error { return errors.New("lines: clients only") }

// String is for print-outs.
func (l line) String() string {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(b)
}
