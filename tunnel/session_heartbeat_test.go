package tunnel

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

const beat = 15 * time.Second

// beating runs a test with a session that has heartbeats, in both roles.
func beating(t *testing.T, test func(t *testing.T, p *scriptedPeer)) {
	t.Helper()
	t.Run("of a session that was accepted", func(t *testing.T) {
		bubble(t, func(t *testing.T) { test(t, accepted(t, Config{Heartbeat: beat})) })
	})
	t.Run("of a session that was dialled", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			test(t, dialled(t, Config{Heartbeat: time.Hour}, func(h *pb.Hello) { h.HeartbeatMs = uint32(beat.Milliseconds()) }))
		})
	})
}

// wantPing expects a ping and returns its value.
func (p *scriptedPeer) wantPing(why string) uint64 {
	p.t.Helper()
	f := p.next(why)
	if f.GetPing() == 0 {
		p.t.Fatalf("%s: got %v, want a ping", why, f)
	}
	return f.GetPing()
}

func TestHeartbeatOfASilentPeer(t *testing.T) {
	beating(t, func(t *testing.T, p *scriptedPeer) {
		time.Sleep(beat - 1)
		p.wantIdle("the interval has not passed")
		time.Sleep(time.Nanosecond)
		p.wantPing("nothing was heard for an interval")
		time.Sleep(beat - 1)
		p.wantIdle("two intervals have not passed")
		time.Sleep(time.Nanosecond)
		p.wantEnded(codes.Unavailable, "nothing was heard of the peer for 30s")
	})
}

func TestHeartbeatFailsCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{Heartbeat: beat, Remote: Peer{Name: "c1"}})
		call, _ := p.invoke(t.Context(), "x")
		p.want("a call", request(1, "x"))
		<-call.done
		call.wantErr("the call", codes.Unavailable, OutcomeUnknown, `client "c1": the session has ended: nothing was heard of the peer for 30s`)
	})
}

// Any batch counts as being heard, even an empty one.
func TestHeartbeatOfATalkativePeer(t *testing.T) {
	beating(t, func(t *testing.T, p *scriptedPeer) {
		for range 20 {
			time.Sleep(beat - 1)
			p.sendBytes(nil)
			p.wantIdle("it has been heard")
		}
		time.Sleep(beat)
		p.wantPing("now it has not")
		time.Sleep(beat / 2)
		p.sendBytes(nil) // instead of a pong
		time.Sleep(beat - 1)
		p.wantIdle("it was heard half an interval late")
		time.Sleep(time.Nanosecond)
		p.wantPing("an interval after that")
	})
}

func TestHeartbeatIsAnswered(t *testing.T) {
	beating(t, func(t *testing.T, p *scriptedPeer) {
		if rtt := p.session.RoundTrip(); rtt != 0 {
			t.Errorf("got a round trip of %v before the first, want 0", rtt)
		}
		for _, delay := range []time.Duration{40 * time.Millisecond, 3 * time.Millisecond} {
			synctest.Wait()
			time.Sleep(beat)
			ping := p.wantPing("an interval has passed")
			p.send(&pb.Frame{Pong: ping + 1})
			time.Sleep(delay)
			before := p.session.RoundTrip()
			p.send(&pb.Frame{Pong: ping})
			if got := p.session.RoundTrip(); got != delay {
				t.Errorf("got a round trip of %v, want %v (before: %v)", got, delay, before)
			}
			p.send(&pb.Frame{Pong: ping}, &pb.Frame{Pong: 1}, &pb.Frame{Pong: 1<<64 - 1})
			if got := p.session.RoundTrip(); got != delay {
				t.Errorf("got a round trip of %v after pongs that nobody asked for, want %v", got, delay)
			}
		}
		p.wantIdle("a wrong pong does no harm")
	})
}

// A ping of the peer is answered at once, before data that waits.
func TestPongGoesFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{Heartbeat: beat})
		p.transport.inline.Store(0)
		p.transport.shut()
		for range 3 {
			p.invoke(t.Context(), "x")
		}
		p.send(&pb.Frame{Ping: 77})
		p.transport.open()
		p.wantBatch("it was being sent", request(1, "x"))
		p.wantBatch("the pong goes first", &pb.Frame{Pong: 77}, request(3, "x"), request(5, "x"))
	})
}

func TestNoHeartbeat(t *testing.T) {
	forBothRoles(t, func(_ *testing.T, p *scriptedPeer) {
		time.Sleep(24 * time.Hour)
		p.wantIdle("there are no heartbeats")
	})
}

// Handlers and callers do not wait for the heartbeat of a session that has ended.
func TestHeartbeatStopsWithTheSession(t *testing.T) {
	beating(t, func(t *testing.T, p *scriptedPeer) {
		time.Sleep(beat / 2)
		p.session.Close(nil)
		time.Sleep(10 * beat)
		p.wantEnded(codes.OK, "")
		if p.read(); len(p.batches) > 0 {
			t.Errorf("got %v after the end, want nothing", p.batches)
		}
	})
}
