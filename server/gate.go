package server

import (
	"maps"
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
	share    float64       // of connects for a subject, in a second; 0: any
	burst    int           // and at once

	conns atomic.Int64 // there are so many connections

	// mu guards what follows: the sessions from their handshake to their end.
	mu       sync.Mutex
	inside   int
	subjects map[string]*subject
}

// subject is what is known of an identity that has sessions, or has had some a short
// while ago.
type subject struct {
	sessions int
	connects *rate.Limiter // nil: at any rate
}

// mostIdle is how many subjects without sessions are remembered.
const mostIdle = 10_000

// moving is how many sessions of a name or a subject may be on their way out besides
// those that a limit allows, if the limit itself is less: clients that move have two
// for a while.
const moving = 8

// longestReturn is the longest time after which a client is asked to come back.
const longestReturn = time.Minute

func (g *gate) init(o *options) {
	g.sessions, g.perSubject, g.connections = o.maxSessions, o.maxPerSubject, o.maxConnections
	g.subjects = make(map[string]*subject)
	g.share, g.burst = o.subjectRate, max(o.subjectBurst, 1)
	if o.connectRate > 0 {
		g.connects = rate.NewLimiter(rate.Limit(o.connectRate), max(o.connectBurst, 1))
		g.returns = rate.NewLimiter(rate.Limit(o.connectRate), 1)
	}
}

// enter counts a session of a subject in. An error says which limit it has hit.
//
// A client that moves has two sessions for a while, which the registry allows: so
// here a subject has twice as many, and moving more at least.
//
// What is a subject's own is looked at first: one that is refused for that does not
// use up what all share.
func (g *gate) enter(name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions > 0 && g.inside >= g.sessions {
		return exceeded(tunnel.LimitSessions, "%d sessions of the server", g.sessions)
	}
	s := g.subject(name)
	if s != nil {
		if g.perSubject > 0 && s.sessions >= g.perSubject+max(g.perSubject, moving) {
			return exceeded(tunnel.LimitSessionsPerSubject, "%d sessions of %q", g.perSubject, name)
		}
		if s.connects != nil && !s.connects.Allow() {
			after := time.Duration(float64(time.Second) / g.share)
			return retryAfter(after, tunnel.LimitConnectRatePerSubject, "%v sessions of %q in a second", g.share, name)
		}
	}
	if g.connects != nil && !g.connects.Allow() {
		return g.later()
	}
	if s != nil {
		s.sessions++
	}
	g.inside++
	return nil
}

// subject returns what is known of a subject, nil for none. g.mu is held.
func (g *gate) subject(name string) *subject {
	if name == "" {
		return nil
	}
	if s := g.subjects[name]; s != nil {
		return s
	}
	if len(g.subjects) >= g.inside+mostIdle {
		g.tidy()
	}
	s := &subject{}
	if g.share > 0 {
		s.connects = rate.NewLimiter(rate.Limit(g.share), g.burst)
	}
	g.subjects[name] = s
	return s
}

// spent reports whether it matters that a subject has been there.
func (g *gate) spent(s *subject) bool {
	return s.sessions > 0 || s.connects != nil && s.connects.Tokens() < float64(g.burst)
}

// tidy forgets subjects without sessions: those that do not matter, and if there are
// many others, those too. g.mu is held.
func (g *gate) tidy() {
	maps.DeleteFunc(g.subjects, func(_ string, s *subject) bool { return !g.spent(s) })
	if len(g.subjects) >= g.inside+mostIdle/2 {
		maps.DeleteFunc(g.subjects, func(_ string, s *subject) bool { return s.sessions == 0 })
	}
}

// leave counts a session out.
func (g *gate) leave(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if s := g.subjects[name]; s != nil {
		if s.sessions--; !g.spent(s) {
			delete(g.subjects, name)
		}
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
	return retryAfter(after, tunnel.LimitConnectRate, "%v sessions in a second", g.connects.Limit())
}

// retryAfter is exceeded for a client that is told when to come back.
func retryAfter(after time.Duration, l tunnel.Limit, format string, args ...any) error {
	st := status.Convert(exceeded(l, format, args...))
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
