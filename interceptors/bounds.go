package interceptors

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// clientKey is a client, whatever its session.
type clientKey struct{ namespace, name string }

// bounds count the pushes of each client.
type bounds struct {
	ClientLimit

	// mu guards what follows.
	mu      sync.Mutex
	clients map[clientKey]*pushes
	sweepAt int       // how many clients to have before those to forget are looked for
	swept   time.Time // when that was last
}

// pushes are what is known of the pushes to a client.
type pushes struct {
	inFlight int
	rate     *rate.Limiter // nil: no limit
}

// The least number of clients, and the time, after which those to forget are
// looked for.
const (
	sweepClients  = 64
	sweepInterval = time.Minute
)

// begin counts a push, or names the limit that it meets and says how long to
// wait, if that is known.
func (b *bounds) begin(c clientKey, now time.Time) (tunnel.Limit, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep(now)
	p := b.clients[c]
	if p == nil {
		p = &pushes{}
		if b.Rate > 0 {
			p.rate = rate.NewLimiter(b.Rate, max(b.Burst, 1))
		}
		if b.clients == nil {
			b.clients = make(map[clientKey]*pushes)
		}
		b.clients[c] = p
	}
	if b.InFlight > 0 && p.inFlight >= b.InFlight {
		return LimitInFlight, 0
	}
	if p.rate != nil {
		r := p.rate.ReserveN(now, 1)
		if wait := r.DelayFrom(now); wait > 0 {
			r.CancelAt(now)
			return LimitRate, wait
		}
	}
	p.inFlight++
	return "", 0
}

// end counts off a push that has begun.
func (b *bounds) end(c clientKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clients[c].inFlight--
}

// sweep forgets what is forgettable, if it is time for that: so seldom that it
// costs a push nothing to speak of.
func (b *bounds) sweep(now time.Time) {
	if len(b.clients) < b.sweepAt && now.Sub(b.swept) < sweepInterval {
		return
	}
	for c, p := range b.clients {
		if p.forgettable(now) {
			delete(b.clients, c)
		}
	}
	b.sweepAt, b.swept = max(2*len(b.clients), sweepClients), now
}

// forgettable reports whether a client is as one of whom nothing is known.
func (p *pushes) forgettable(now time.Time) bool {
	return p.inFlight == 0 && (p.rate == nil || p.rate.TokensAt(now) >= float64(p.rate.Burst()))
}
