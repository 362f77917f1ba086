package server

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// gate lets in as many as the limits allow.
type gate struct {
	sessions    int // 0: any number
	perSubject  int // likewise
	connections int // likewise

	connects *rate.Limiter // nil: at any rate
	returns  *rate.Limiter // when those that are refused may come back

	conns atomic.Int64 // there are so many connections

	// mu guards what follows: the sessions from their handshake to their end.
	mu       sync.Mutex
	inside   int
	subjects map[string]int
}

// longestReturn is the longest time after which a client is asked to come back.
const longestReturn = time.Minute

func (g *gate) init(o *options) {
	g.sessions, g.perSubject, g.connections = o.maxSessions, o.maxPerSubject, o.maxConnections
	g.subjects = make(map[string]int)
	if o.connectRate > 0 {
		g.connects = rate.NewLimiter(rate.Limit(o.connectRate), max(o.connectBurst, 1))
		g.returns = rate.NewLimiter(rate.Limit(o.connectRate), 1)
	}
}

// enter counts a session of a subject in. An error says which limit it has hit.
//
// A client that moves has two sessions for a while, which the registry allows: so
// here a subject has twice as many.
func (g *gate) enter(subject string) error {
	if g.connects != nil && !g.connects.Allow() {
		return g.later()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions > 0 && g.inside >= g.sessions {
		return exceeded(tunnel.LimitSessions, "%d sessions of the server", g.sessions)
	}
	if subject != "" {
		if g.perSubject > 0 && g.subjects[subject] >= 2*g.perSubject {
			return exceeded(tunnel.LimitSessionsPerSubject, "%d sessions of %q", g.perSubject, subject)
		}
		g.subjects[subject]++
	}
	g.inside++
	return nil
}

// leave counts a session out.
func (g *gate) leave(subject string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if subject == "" {
		return
	}
	if g.subjects[subject]--; g.subjects[subject] == 0 {
		delete(g.subjects, subject)
	}
}

// later refuses a client because too many come at a time. Each is told another
// time, so that they come back at the rate at which they are let in.
func (g *gate) later() error {
	after := longestReturn
	if r := g.returns.Reserve(); r.Delay() < longestReturn {
		after = max(r.Delay(), time.Millisecond)
	} else {
		r.Cancel()
	}
	st := tunnel.LimitConnectRate.Status("pushtunnel: the limit %q is reached: %v sessions in a second", string(tunnel.LimitConnectRate), g.connects.Limit())
	if hinted, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)}); err == nil {
		st = hinted
	}
	return st.Err()
}

// connect counts a connection in, and reports whether there is room for it.
// Whatever it reports, disconnect counts it out.
func (g *gate) connect() bool {
	n := g.conns.Add(1)
	return g.connections <= 0 || n <= int64(g.connections)
}

func (g *gate) disconnect() { g.conns.Add(-1) }

// exceeded is the status of a client that has hit a limit.
func exceeded(l tunnel.Limit, format string, args ...any) error {
	return l.Status("pushtunnel: the limit %q is reached: "+format, append([]any{string(l)}, args...)...).Err()
}

// rateLimiter bounds how many calls a session sees in a second; nil is no bound.
type rateLimiter struct{ *rate.Limiter }

// errCallRate is the error of a call that comes too soon.
var errCallRate = tunnel.NewError(status.Newf(codes.ResourceExhausted,
	"pushtunnel: the limit %q is reached", string(tunnel.LimitCallRate)), tunnel.OutcomeNotSent, tunnel.LimitCallRate)

func (l rateLimiter) allow() error {
	if l.Limiter != nil && !l.Allow() {
		return errCallRate
	}
	return nil
}
