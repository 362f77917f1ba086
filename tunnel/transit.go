package tunnel

import (
	"errors"
	"time"
)

const (
	// minTransit is the window that a session starts with: how many bytes may
	// be under way to the peer before its reader has confirmed any. It is small, so
	// that the first round trip measured is that of the path and not of a queue. But
	// it is above the 64 KiB at which the reader must confirm.
	minTransit = 128 << 10
	// maxTransit is how far it may grow.
	maxTransit = 16 << 20
	// transitSlack is how much longer than the shortest round trip a round trip may
	// take, at least, before the window stops growing: beyond it the bytes wait in a
	// queue on the way, and small calls behind them. On long paths it is half of
	// the shortest round trip.
	transitSlack = 10 * time.Millisecond
)

var errAckOverflow = errors.New("the peer confirmed bytes that were never sent")

// transit bounds how many bytes are under way to the peer's reader, so that
// small calls and control frames do not queue behind megabytes. It is the
// session's window: it has nothing to do with whether anybody reads the calls'
// messages. It grows while it is what limits the rate and the round trip shows
// no queue.
type transit struct {
	sent, acked uint64 // bytes of batches, since the session began
	window      uint64

	probe     uint64 // sent when something had to wait last; 0: nothing had to
	probeTime time.Time
	shortest  time.Duration
}

// underWay is how many bytes the peer has not confirmed.
func (t *transit) underWay() uint64 { return t.sent - t.acked }

// room reports whether more data may be sent now. If not, the window is what
// limits the rate; now is asked for at most once a round trip.
func (t *transit) room(now func() time.Time) bool {
	if t.underWay() < t.window {
		return true
	}
	if t.probe == 0 {
		t.probe, t.probeTime = t.sent, now()
	}
	return false
}

// ack notes that the peer has received total bytes since the session began.
func (t *transit) ack(total uint64, now func() time.Time) error {
	if total > t.sent {
		return errAckOverflow
	}
	t.acked = max(t.acked, total)
	if t.probe == 0 || t.acked < t.probe {
		return nil
	}
	t.probe = 0
	took := now().Sub(t.probeTime)
	if t.shortest == 0 || took < t.shortest {
		t.shortest = took
	}
	if took <= t.shortest+max(t.shortest/2, transitSlack) {
		t.window = min(2*t.window, maxTransit)
	}
	return nil
}
