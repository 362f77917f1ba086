package tunnel

import (
	"math"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// heartbeat notices that the peer has fallen silent. It needs no goroutine: one
// timer, which is set anew only when it fires.
type heartbeat struct {
	s        *Session
	interval time.Duration // 0: none; set before start
	start0   time.Time     // the times below are counted from here
	last     atomic.Int64  // when a batch came last
	timer    atomic.Pointer[time.Timer]

	pinged    atomic.Int64 // when the ping under way was sent; its value too
	roundTrip atomic.Int64

	pings bucket // the reader's
}

func (h *heartbeat) init(s *Session) {
	h.s, h.start0 = s, time.Now()
	if s.server {
		h.interval = s.cfg.Heartbeat
	}
}

func (h *heartbeat) now() time.Duration { return time.Since(h.start0) }

// heard notes that a batch has come, and returns how long after the one before, or
// after the beginning.
func (h *heartbeat) heard() time.Duration {
	now := int64(h.now())
	return time.Duration(now - h.last.Swap(now))
}

// idleTime is how long a session is silent before it counts as one that is used
// little.
const idleTime = 10 * time.Second

// idle reports whether a session that was silent for so long is used little. One
// that hears heartbeats and nothing else is.
func (h *heartbeat) idle(silent time.Duration) bool {
	return silent > idleTime || h.interval > 0 && silent > h.interval/2
}

// start begins to listen, unless there are no heartbeats.
func (h *heartbeat) start() {
	if h.interval <= 0 {
		return
	}
	h.heard()
	t := time.AfterFunc(math.MaxInt64, h.tick)
	h.timer.Store(t) // before tick looks for it
	t.Reset(h.interval)
	if h.s.ended() {
		h.stop()
	}
}

func (h *heartbeat) stop() {
	if t := h.timer.Load(); t != nil {
		t.Stop()
	}
}

func (h *heartbeat) tick() {
	if h.s.ended() {
		return
	}
	now := h.now()
	silent := now - time.Duration(h.last.Load())
	ping, dead, next := listen(silent, h.interval)
	if dead {
		h.s.end(NewError(status.Newf(codes.Unavailable, "nothing was heard of the peer for %v", silent.Round(time.Millisecond)), OutcomeAnswered, ErrSilent))
		return
	}
	if t := h.timer.Load(); t != nil {
		t.Reset(next)
	}
	if ping {
		h.pinged.Store(int64(now))
		h.s.out.send(wire.AppendSessionFrame(nil, wire.AppendPing(nil, uint64(now)))) //nolint:gosec // not negative
	}
}

// listen says what to do about a peer that has been silent for so long, and when
// to look again.
func listen(silent, interval time.Duration) (ping, dead bool, next time.Duration) {
	switch {
	case silent >= 2*interval:
		return false, true, 0
	case silent >= interval:
		return true, false, 2*interval - silent
	default:
		return false, false, interval - silent
	}
}

// pong notes the answer to a ping.
func (h *heartbeat) pong(v uint64) {
	if sent := h.pinged.Load(); sent > 0 && uint64(sent) == v && h.pinged.CompareAndSwap(sent, 0) { //nolint:gosec // positive
		h.roundTrip.Store(int64(h.now()) - sent)
	}
}

// allowPing reports whether the peer may ping now.
func (h *heartbeat) allowPing() bool {
	interval := h.interval
	if interval <= 0 {
		interval = defaultHeartbeat
	}
	return h.pings.take(h.now(), interval/10)
}

// pingBurst is how many pings may come at once.
const pingBurst = 20

// bucket allows one event for each refill interval, and a burst.
type bucket struct {
	used int
	at   time.Duration
}

func (b *bucket) take(now, refill time.Duration) bool {
	n := (now - b.at) / refill
	b.used = max(b.used-int(n), 0)
	b.at += n * refill
	b.used++
	return b.used <= pingBurst
}
