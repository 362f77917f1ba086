package tunnel

import (
	"context"
	"math"
	"strings"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// sendHello says hello; id is the session's if this end gives it.
func (s *Session) sendHello(id string) {
	h := &pb.Hello{
		Version:     wire.Version,
		SessionId:   id,
		MaxCalls:    uint32(s.cfg.MaxCalls),    //nolint:gosec // not negative
		CallWindow:  uint64(s.cfg.CallWindow),  //nolint:gosec // not negative
		MaxMetadata: uint32(s.cfg.MaxMetadata), //nolint:gosec // bounded
	}
	if s.server {
		h.HeartbeatMs = milliseconds(s.cfg.Heartbeat)
	} else {
		h.PreviousSession = s.cfg.PreviousSession
		h.PreviousLost = s.cfg.PreviousLost
	}
	s.open.Store(true)
	s.out.start(partFrame(wire.AppendHello, h))
}

// sendClose tells the peer why the session ends, if that can be done at once.
func (s *Session) sendClose(st *status.Status) {
	message := &pb.Status{Code: uint32(st.Code()), Message: []byte(st.Message()), Details: statusDetails(st)}
	frame := partFrame(wire.AppendClose, message)
	if s.open.Load() {
		s.out.send(frame)
	} else {
		s.out.start(frame) // instead of the hello
	}
}

// GoAway asks the client to move: to open its next session first, then to leave
// this one. Calls go on, new ones too, until the client leaves. Only the end that
// accepted may call it.
func (s *Session) GoAway(g GoAway) {
	s.out.send(partFrame(wire.AppendGoAway, &pb.GoAway{
		Reason:           strings.ToValidUTF8(g.Reason, "\uFFFD"), // proto takes no other
		ReconnectAfterMs: milliseconds(g.ReconnectAfter),
	}))
}

// Leave parts without loss: it asks the server for no more calls, waits for
// those under way to end, and ends the session. It returns when the session has
// ended; nil if that was in order. If ctx ends first it returns its error, and
// the session goes on. Only the end that dialled may call it.
func (s *Session) Leave(ctx context.Context) error {
	s.out.send(partFrame(wire.AppendGoAway, &pb.GoAway{}))
	select {
	case <-s.peerDone:
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-s.out.drain():
		s.end(nil)
		<-s.done
		return s.err
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readGoAway takes the peer's wish to part.
func (s *Session) readGoAway(g *pb.GoAway) {
	if s.server {
		s.out.last()
	}
	if s.cfg.OnGoAway != nil {
		s.cfg.OnGoAway(GoAway{
			Reason:         g.GetReason(),
			ReconnectAfter: time.Duration(g.GetReconnectAfterMs()) * time.Millisecond,
		})
	}
}

// partFrame encodes a frame of one rare part.
func partFrame(appendPart func(b, encoded []byte) []byte, m proto.Message) []byte {
	encoded, _ := proto.Marshal(m)
	return wire.AppendSessionFrame(nil, appendPart(nil, encoded))
}

func milliseconds(d time.Duration) uint32 {
	return uint32(min(max(d.Milliseconds(), 0), math.MaxUint32)) //nolint:gosec // bounded
}
