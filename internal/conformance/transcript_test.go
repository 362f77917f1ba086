package conformance

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// transcript is what a caller and a handler see, each in its own order.
type transcript struct {
	mu      sync.Mutex
	Caller  []event
	Handler []event
}

// event is one thing that was seen: what, and what came of it.
type event struct {
	What   string
	Result any
}

// failure is an error as users tell errors apart.
type failure struct {
	Code    string
	Message string
	Details []*anypb.Any
}

func (tr *transcript) caller(what string, result any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.Caller = append(tr.Caller, event{what, seen(result)})
}

func (tr *transcript) handler(what string, result any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.Handler = append(tr.Handler, event{what, seen(result)})
}

// seen makes a result comparable.
func seen(result any) any {
	switch v := result.(type) {
	case nil:
		return "ok"
	case error:
		return seenError(v)
	case metadata.MD:
		return seenMetadata(v)
	case *message:
		return seenBytes(v.GetValue())
	case []byte:
		return seenBytes(v)
	}
	return result
}

func seenError(err error) any {
	if err == io.EOF {
		return "EOF"
	}
	st, ok := status.FromError(err)
	if !ok {
		switch {
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
			return err.Error()
		}
		return fmt.Sprintf("an error without status: %v", err)
	}
	if want := fmt.Sprintf("rpc error: code = %s desc = %s", st.Code(), st.Message()); err.Error() != want {
		return fmt.Sprintf("the error's text is %q, not %q", err.Error(), want)
	}
	return failure{Code: st.Code().String(), Message: seenMessage(st), Details: st.Proto().GetDetails()}
}

// seenBytes shows long messages by their hash.
func seenBytes(b []byte) string {
	if len(b) <= 64 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%d bytes, sha256 %x", len(b), sha256.Sum256(b))
}

// call is a caller's end of a case: it makes calls and notes what comes of them.
type call struct {
	t  *testing.T
	cc grpc.ClientConnInterface
	tr *transcript
}

// unary makes a unary call.
func (c *call) unary(ctx context.Context, in any, opts ...grpc.CallOption) error {
	return c.invoke(ctx, unaryMethod, in, opts...)
}

// invoke makes a unary call to a method.
func (c *call) invoke(ctx context.Context, method string, in any, opts ...grpc.CallOption) error {
	var header, trailer metadata.MD
	out := &message{}
	opts = append([]grpc.CallOption{grpc.Header(&header), grpc.Trailer(&trailer)}, opts...)
	err := c.cc.Invoke(ctx, method, in, out, opts...)
	if err == nil {
		c.tr.caller("reply", out)
	}
	c.tr.caller("header", header)
	c.tr.caller("trailer", trailer)
	c.tr.caller("status", err)
	return err
}

// open begins a call to a method. It returns nil if that fails.
func (c *call) open(ctx context.Context, method string, opts ...grpc.CallOption) *opened {
	return c.openAs(ctx, descs[method], method, opts...)
}

// openAs is open by a caller that takes the method for one of another shape.
func (c *call) openAs(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) *opened {
	s, err := c.cc.NewStream(ctx, desc, method, opts...)
	c.tr.caller("open", err)
	if err != nil {
		return nil
	}
	return &opened{ClientStream: s, tr: c.tr}
}

// opened is the caller's end of a stream. It notes what is seen there.
type opened struct {
	grpc.ClientStream
	tr *transcript
}

func (s *opened) send(m any) bool {
	err := s.SendMsg(m)
	s.tr.caller("send", err)
	return err == nil
}

func (s *opened) closeSend() { s.tr.caller("close send", s.CloseSend()) }

// recv notes a message. It reports false at the end.
func (s *opened) recv() (*message, bool) {
	m := &message{}
	if err := s.RecvMsg(m); err != nil {
		s.tr.caller("recv", err)
		return nil, false
	}
	s.tr.caller("recv", m)
	return m, true
}

func (s *opened) header() {
	md, err := s.Header()
	s.tr.caller("header", md)
	s.tr.caller("header is there", md != nil)
	s.tr.caller("header's error", err)
}

func (s *opened) trailer() { s.tr.caller("trailer", s.Trailer()) }

// finish receives all that comes, and then looks at header and trailer.
func (s *opened) finish() {
	for range 1000 {
		if _, ok := s.recv(); !ok {
			break
		}
	}
	s.header()
	s.trailer()
}

// served is the handler's end of a stream. It notes what is seen there.
type served struct {
	grpc.ServerStream
	tr *transcript
}

func (s *served) recv() (*message, bool) {
	m := &message{}
	if err := s.RecvMsg(m); err != nil {
		s.tr.handler("recv", err)
		return nil, false
	}
	s.tr.handler("recv", m)
	return m, true
}

func (s *served) send(m any) { s.tr.handler("send", s.SendMsg(m)) }

func (s *served) setHeader(md metadata.MD) { s.tr.handler("set header", s.SetHeader(md)) }

func (s *served) sendHeader(md metadata.MD) { s.tr.handler("send header", s.SendHeader(md)) }

func (s *served) setTrailer(md metadata.MD) { s.SetTrailer(md) }
