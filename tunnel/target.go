package tunnel

import (
	"context"
	"sync/atomic"
)

// Target is whom a call is for, as interceptors see it at the end that makes it.
type Target struct {
	// Namespace and Name are the client's. A call to a session has those of the
	// session's client.
	Namespace, Name string

	picked atomic.Pointer[Peer]
}

type targetKey struct{}

// WithTarget returns a context of a call that is for t. Whoever finds sessions for
// calls makes it; package server does.
func WithTarget(ctx context.Context, t *Target) context.Context {
	return context.WithValue(ctx, targetKey{}, t)
}

// TargetFromContext returns whom a call is for. It reports false outside the
// interceptors of calls through a tunnel.
func TargetFromContext(ctx context.Context) (t *Target, ok bool) {
	t, ok = ctx.Value(targetKey{}).(*Target)
	return t, ok
}

// Session returns the session that the call's last attempt went to. It reports
// false as long as none was picked, and for a call that found none.
func (t *Target) Session() (Peer, bool) {
	p := t.picked.Load()
	if p == nil {
		return Peer{}, false
	}
	return *p, true
}

// Pick notes the session that an attempt goes to. *p must not change any more.
func (t *Target) Pick(p *Peer) { t.picked.Store(p) }
