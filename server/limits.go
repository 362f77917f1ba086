package server

import (
	"math"

	"golang.org/x/time/rate"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// limits are those of a server that are not tunnel.Config's. 0 is no limit.
type limits struct {
	maxSessions    int
	maxPerName     int
	maxPerSubject  int
	maxConnections int
	connectRate    float64
	connectBurst   int
	subjectRate    float64
	subjectBurst   int
	callRate       float64
	callBurst      int
}

var defaultLimits = limits{
	maxSessions:    100_000,
	maxPerName:     1000,
	maxPerSubject:  1000,
	maxConnections: 100_000,
	connectRate:    1000,
	connectBurst:   10_000,
	subjectRate:    10,
	subjectBurst:   1000,
}

// defaultMemory is how many bytes of messages a server holds.
const defaultMemory = 1 << 30

// newRate returns what bounds the rate of calls to a new session.
func (l *limits) newRate() rateLimiter {
	if l.callRate <= 0 {
		return rateLimiter{}
	}
	return rateLimiter{rate.NewLimiter(rate.Limit(l.callRate), max(l.callBurst, 1))}
}

// WithMaxSessions sets how many sessions the server has, those in their handshake
// included. One more is refused with RESOURCE_EXHAUSTED. The default is 100,000; 0
// is no limit.
func WithMaxSessions(n int) Option { return optionFunc(func(o *options) { o.maxSessions = n }) }

// WithMaxSessionsPerName sets how many sessions a client name has. One more is
// refused with RESOURCE_EXHAUSTED; a client that moves to a new session is not in
// its own way. The default is 1,000; 0 is no limit.
func WithMaxSessionsPerName(n int) Option { return optionFunc(func(o *options) { o.maxPerName = n }) }

// WithMaxSessionsPerSubject sets how many sessions there are of an
// Identity.Subject, under all its names. One more is refused with
// RESOURCE_EXHAUSTED; a client that moves is not in its own way. Clients without a
// subject are not counted. The default is 1,000; 0 is no limit.
func WithMaxSessionsPerSubject(n int) Option {
	return optionFunc(func(o *options) { o.maxPerSubject = n })
}

// WithMaxConnections sets how many connections the server has that are not the
// grpc.Server's: those of Serve, and direct ones in their handshake. One more is
// closed. A Java client has 8. The default is 100,000; 0 is no limit. For the grpc.Server's own there is
// netutil.LimitListener.
func WithMaxConnections(n int) Option { return optionFunc(func(o *options) { o.maxConnections = n }) }

// WithConnectRate sets how many sessions come in a second, and how many may come at
// once. One more is refused with RESOURCE_EXHAUSTED, and is told when to come back;
// each client is told another time, so that they come at this rate. Clients that
// the identity function refuses are not counted. The defaults are 1,000 and
// 10,000; a rate of 0 is no limit.
func WithConnectRate(perSecond float64, burst int) Option {
	return optionFunc(func(o *options) { o.connectRate, o.connectBurst = perSecond, burst })
}

// WithConnectRatePerSubject sets how many sessions of an Identity.Subject come in a
// second, and how many at once. One more is refused with RESOURCE_EXHAUSTED and told
// when to come back, and does not count for WithConnectRate: so one client that
// comes again and again keeps no others out. Clients without a subject are not
// counted. The defaults are 10 and 1,000; a rate of 0 is no limit.
func WithConnectRatePerSubject(perSecond float64, burst int) Option {
	return optionFunc(func(o *options) { o.subjectRate, o.subjectBurst = perSecond, burst })
}

// WithCallRate sets how many calls are made to a session in a second, and how many
// may be made at once. One more fails with RESOURCE_EXHAUSTED, not sent; a call to a
// name is tried on another session first. The default is no limit. For calls of
// native clients to the server there is native.WithCallRate.
func WithCallRate(perSecond float64, burst int) Option {
	return optionFunc(func(o *options) { o.callRate, o.callBurst = perSecond, burst })
}

// WithMaxCallsPerSession sets how many calls to a session are under way at a time,
// if its client takes so many. One more fails with RESOURCE_EXHAUSTED, not sent. The
// default is 10,000; 0 is no limit.
func WithMaxCallsPerSession(n int) Option {
	if n <= 0 {
		n = math.MaxInt
	}
	return optionFunc(func(o *options) { o.tunnel.MaxOutgoingCalls = n })
}

// WithMaxQueued sets how many bytes of messages may wait on a session for the client
// to take them. A call that finds no room fails with RESOURCE_EXHAUSTED, not sent if
// it has just begun. See tunnel.Config.MaxQueued. The default is 64 MiB; 0 is no
// limit.
func WithMaxQueued(n int64) Option {
	if n <= 0 {
		n = math.MaxInt64
	}
	return optionFunc(func(o *options) { o.tunnel.MaxQueued = n })
}

// WithMaxMemory sets how many bytes of messages all sessions hold together: what
// waits to be sent, what has come and was not taken beyond the first window of each
// call, and bodies of native frames that are not complete. When half of it is used,
// nothing more is given to a session that would hold more than 64 KiB then: so a few
// that hold much do not keep small calls to the others from being served. Native
// connections without a name get a quarter. A call that finds no room fails with
// RESOURCE_EXHAUSTED; a native connection that needs some ends. The default is 1
// GiB; 0 is no limit.
func WithMaxMemory(n int64) Option {
	return optionFunc(func(o *options) {
		o.tunnel.Memory = nil
		if n > 0 {
			o.tunnel.Memory = tunnel.NewBudget(n)
		}
	})
}
