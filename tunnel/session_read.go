package tunnel

import (
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pushtunnel/pushtunnel/internal/stack"
	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// waiter is a transport that can wait until there is something to receive, with less
// stack than Recv. It reports false if it can't.
type waiter interface{ Wait() bool }

// read is the session's goroutine. It reads until the transport ends, which
// Close sees to. Nothing in it waits for a call. What comes to a session that is used
// little is taken apart, so that its stack stays as small as it was: stacks are most of
// what an idle session costs.
func (s *Session) read() {
	w, _ := s.transport.(waiter)
	for more := true; more; {
		if w != nil && !s.used && w.Wait() {
			more = s.receiveApart()
		} else {
			more = s.receive()
		}
	}
}

//go:noinline
func (s *Session) receiveApart() (more bool) {
	stack.Apart(func() { more = s.receive() })
	return more
}

// receive takes the next batch. It reports false when the transport has ended.
//
//go:noinline
func (s *Session) receive() bool {
	batch, err := s.transport.Recv()
	if err != nil {
		if err == io.EOF {
			err = nil
		}
		s.end(err)
		return false
	}
	silent := s.live.heard()
	s.used = s.welcomed && !s.live.idle(silent)
	s.take(batch)
	return true
}

// take takes a batch.
func (s *Session) take(batch mem.Buffer) {
	if s.ended() {
		batch.Free()
		return
	}
	var err error
	n := batch.Len()
	s.out.received.Add(uint64(n)) //nolint:gosec // a length
	if n > wire.MaxBatch {
		err = fmt.Errorf("a batch of %d bytes, above the limit of %d", n, wire.MaxBatch)
	} else {
		err = s.readBatch(batch)
	}
	batch.Free()
	if err != nil {
		s.Close(protocolError(err))
		return
	}
	spent := s.out.kick()
	for c := spent.head; c != nil; c = spent.head {
		spent.remove(c)
		c.owner.(*handlerCall).recycle() //nolint:forcetypeassert // it is no other's to be
	}
}

// frames holds the frames that readers decode into: an idle session keeps none.
var frames = sync.Pool{New: func() any { return new(wire.Frame) }}

func (s *Session) readBatch(batch mem.Buffer) error {
	f := frames.Get().(*wire.Frame)
	defer frames.Put(f)
	rest := batch.ReadOnlyData()
	for {
		var frame []byte
		var err error
		if frame, rest, err = wire.NextFrame(rest); err != nil || frame == nil {
			return err
		}
		if err := f.Unmarshal(frame); err != nil {
			return err
		}
		if err := f.Check(); err != nil {
			return err
		}
		if err := s.readFrame(f, batch); err != nil {
			if f.CallID != 0 {
				err = fmt.Errorf("call %d: %w", f.CallID, err)
			}
			return err
		}
	}
}

func (s *Session) readFrame(f *wire.Frame, batch mem.Buffer) error {
	switch {
	case f.Parts&wire.PartHello != 0:
		return s.readHello(f)
	case !s.welcomed && f.Parts&wire.PartClose == 0:
		return errNoHello
	case !s.open.Load() && f.Parts&wire.PartClose == 0:
		return errEarly
	case f.CallID == 0:
		return s.readSessionFrame(f)
	case f.Parts&wire.PartBegin != 0:
		return s.accept(f, batch)
	case f.Parts == 0:
		return nil // of an unknown kind
	}
	c, err := s.table.find(f)
	if err != nil || c == nil {
		return err
	}
	return c.receive(f, batch)
}

// readHello takes the peer's hello.
func (s *Session) readHello(f *wire.Frame) error {
	if s.welcomed {
		return errHelloTwice
	}
	s.welcomed = true
	h := &pb.Hello{}
	if err := proto.Unmarshal(f.Hello, h); err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	if h.GetVersion() < wire.Version {
		s.Close(status.Errorf(codes.FailedPrecondition, "pushtunnel: the peer speaks version %d of the protocol, this end needs %d",
			h.GetVersion(), wire.Version))
		return nil
	}
	if h.GetCallWindow() < wire.MinCallWindow {
		return errSmallWindow
	}
	s.remote = limits{
		maxCalls:    int(h.GetMaxCalls()),
		callWindow:  int64(min(h.GetCallWindow(), maxWindow)), //nolint:gosec // bounded
		maxMetadata: min(int(h.GetMaxMetadata()), wire.MaxMetadata),
	}
	if !s.server {
		if h.GetSessionId() == "" {
			return errNoSessionID
		}
		s.cfg.Remote.Session = h.GetSessionId()
		if t, ok := s.transport.(interface{ Peer() (*peer.Peer, bool) }); ok {
			if p, ok := t.Peer(); ok {
				s.cfg.Peer, s.cfg.Remote.Addr = p, p.Addr
			}
		}
		s.live.interval = time.Duration(h.GetHeartbeatMs()) * time.Millisecond
	}
	s.previous, s.lost = h.GetPreviousSession(), h.GetPreviousLost()
	close(s.hello)
	return nil
}

// readSessionFrame takes a frame about the session.
func (s *Session) readSessionFrame(f *wire.Frame) error {
	if f.Parts&wire.PartReceived != 0 {
		if err := s.out.ack(f.Received); err != nil {
			return err
		}
	}
	if f.Parts&wire.PartPing != 0 {
		if !s.live.allowPing() {
			return errPings
		}
		if err := s.out.queue(wire.AppendSessionFrame(nil, wire.AppendPong(nil, f.Ping))); err != nil {
			return err
		}
	}
	if f.Parts&wire.PartPong != 0 {
		s.live.pong(f.Pong)
	}
	if f.Parts&wire.PartGoAway != 0 {
		g := &pb.GoAway{}
		if err := proto.Unmarshal(f.GoAway, g); err != nil {
			return fmt.Errorf("go_away: %w", err)
		}
		s.readGoAway(g)
	}
	if f.Parts&wire.PartDone != 0 {
		if s.server {
			return errRole
		}
		if !s.parted {
			s.parted = true
			close(s.peerDone)
		}
	}
	if f.Parts&wire.PartClose != 0 {
		st := &pb.Status{}
		if err := proto.Unmarshal(f.Close, st); err != nil {
			return fmt.Errorf("close: %w", err)
		}
		s.end(statusOf(st.GetCode(), st.GetMessage(), st.GetDetails()).Err())
	}
	return nil
}
