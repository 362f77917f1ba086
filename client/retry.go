package client

import (
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// stable is how long a session must last for the backoff to start over.
const stable = 5 * time.Second

// Permanent reports whether a session that ended with err is of no use to try
// again: the server refused the client's name or credentials, does not know
// tunnels, or let another client take over the name. It is what Serve stops on.
func Permanent(err error) bool { return tunnel.Permanent(status.Code(err)) }

// retry says how long to wait before the next session.
type retry struct {
	config   backoff.Config
	failures int
	moves    int
}

// quickMoves is how many connections may end one soon after the other before the
// client takes longer to move.
const quickMoves = 5

func (r *retry) reset() { r.failures, r.moves = 0, 0 }

// move returns how long to wait before the client leaves a connection that is about to
// end: a random time up to the base delay, since nobody says how long there is, and
// many clients may have to move at the same time.
func (r *retry) move() time.Duration {
	r.moves++
	return random(ceiling(r.config, max(r.moves-quickMoves, 0)))
}

// next returns how long to wait after a session that ended with err: what the
// server asked for if it did, and otherwise a random time up to the backoff, so
// that clients that lost the same server do not come back at the same time.
func (r *retry) next(err error) time.Duration {
	most := ceiling(r.config, r.failures)
	r.failures++
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok && info.GetRetryDelay().AsDuration() > 0 {
			return spread(info.GetRetryDelay().AsDuration())
		}
	}
	return random(most)
}

// ceiling is the longest wait after so many failures.
func ceiling(c backoff.Config, failures int) time.Duration {
	d := float64(c.BaseDelay) * math.Pow(c.Multiplier, float64(failures))
	return time.Duration(min(d, float64(c.MaxDelay)))
}

// spread returns a random time between d and twice d, an hour at most.
func spread(d time.Duration) time.Duration {
	d = min(d, time.Hour)
	return d + random(d)
}

func random(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most) //nolint:gosec // jitter needs no secrecy
}
