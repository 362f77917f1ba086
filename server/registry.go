package server

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// registry knows which sessions there are, and under which names they take
// calls. A name that has no session and no waiting call is not in it.
type registry struct {
	// mu guards what follows. The slices and groups in it are never changed, but
	// replaced.
	mu      sync.RWMutex
	names   map[string]*group
	ids     map[string]*Session
	waiters map[string]*waiter
	order   order         // the sessions that are in names
	gone    chan struct{} // closed, and made anew, when the last session goes

	closed <-chan struct{} // closed when nobody shall wait any more
}

// group is the sessions of a name, the oldest first.
type group struct {
	sessions []*Session
	picks    *atomic.Uint64 // how many there have been, for the pickers
}

// waiter is the calls that wait for a name.
type waiter struct {
	calls int
	came  chan struct{} // closed when a session of the name comes
}

func (r *registry) init(closed <-chan struct{}) {
	r.names = make(map[string]*group)
	r.ids = make(map[string]*Session)
	r.waiters = make(map[string]*waiter)
	r.gone = make(chan struct{})
	r.closed = closed
}

// add enters a session. previous and lost are what it says of the session
// before. It returns the sessions that it takes the place of, already taken
// out of their name.
func (r *registry) add(s *Session, policy Duplicates, previous string, lost bool) (replaced []*Session, err error) {
	name := s.Name()
	r.mu.Lock()
	defer r.mu.Unlock()
	var others []*Session
	if g := r.names[name]; g != nil {
		others = g.sessions
	}
	// A client that comes back shows the id of its old session, which only it
	// knows. So it is not in its own way. Nor is a session that showed the same:
	// the client has not seen the answer to it, or it would show that one's id.
	var left []*Session // those that take no more calls from now on
	if old := r.ids[previous]; old != nil && old.Name() == name {
		others, left = without(others, old), append(left, old)
		if lost {
			replaced = append(replaced, old)
		}
	}
	for _, other := range others {
		if previous != "" && other.previous == previous {
			others, left = without(others, other), append(left, other)
			replaced = append(replaced, other)
		}
	}
	if len(others) > 0 {
		switch policy {
		case RefuseDuplicates:
			return nil, status.Errorf(codes.AlreadyExists, "pushtunnel: client name %q is in use", name)
		case ReplaceDuplicates:
			replaced, left = append(replaced, others...), append(left, others...)
			others = nil
		case AllowDuplicates:
		}
	}
	for _, other := range left {
		r.order.remove(other)
	}
	s.previous = previous
	r.order.add(s)
	r.put(name, append(slices.Clip(others), s))
	r.ids[s.ID()] = s
	if w := r.waiters[name]; w != nil {
		close(w.came)
		delete(r.waiters, name)
	}
	return replaced, nil
}

func without(sessions []*Session, s *Session) []*Session {
	i := slices.Index(sessions, s)
	if i < 0 {
		return sessions
	}
	return slices.Concat(sessions[:i], sessions[i+1:])
}

// put sets the sessions of a name. r.mu is held.
func (r *registry) put(name string, sessions []*Session) {
	if len(sessions) == 0 {
		delete(r.names, name)
		return
	}
	picks := new(atomic.Uint64)
	if g := r.names[name]; g != nil {
		picks = g.picks
	}
	r.names[name] = &group{sessions: sessions, picks: picks}
}

// retire takes a session out of its name: it takes no more calls.
func (r *registry) retire(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retireLocked(s)
}

func (r *registry) retireLocked(s *Session) {
	if g := r.names[s.Name()]; g != nil && slices.Contains(g.sessions, s) {
		r.order.remove(s)
		r.put(s.Name(), without(g.sessions, s))
	}
}

// remove forgets a session, if it is known.
func (r *registry) remove(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids[s.ID()] != s {
		return
	}
	r.retireLocked(s)
	delete(r.ids, s.ID())
	if len(r.ids) == 0 {
		close(r.gone)
		r.gone = make(chan struct{})
	}
}

// find returns the sessions of a name, nil if there are none.
func (r *registry) find(name string) *group {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.names[name]
}

// wait waits until the name has a session that is not avoid, ctx ends or the
// registry is closed. It returns nil in the last two cases.
func (r *registry) wait(ctx context.Context, name string, avoid *Session) *group {
	for {
		r.mu.Lock()
		if g := r.names[name]; g != nil && (avoid == nil || len(without(g.sessions, avoid)) > 0) {
			r.mu.Unlock()
			return g
		}
		w := r.waiters[name]
		if w == nil {
			w = &waiter{came: make(chan struct{})}
			r.waiters[name] = w
		}
		w.calls++
		r.mu.Unlock()
		select {
		case <-w.came:
			continue
		case <-ctx.Done():
		case <-r.closed:
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if w.calls--; w.calls == 0 && r.waiters[name] == w {
			delete(r.waiters, name)
		}
		return nil
	}
}

func (r *registry) byID(id string) (*Session, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.ids[id]
	return s, ok
}

// all returns all sessions, those that take no more calls too.
func (r *registry) all() []*Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	sessions := make([]*Session, 0, len(r.ids))
	for _, s := range r.ids {
		sessions = append(sessions, s)
	}
	return sessions
}

// list returns the sessions that take calls: of these names, or all if there are
// none.
func (r *registry) list(names []string) []*Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(names) == 0 {
		return r.order.all()
	}
	var sessions []*Session
	for _, name := range names {
		if g := r.names[name]; g != nil {
			sessions = append(sessions, g.sessions...)
		}
	}
	return sessions
}

// empty waits until there are no sessions, or ctx ends.
func (r *registry) empty(ctx context.Context) {
	for {
		r.mu.RLock()
		n, gone := len(r.ids), r.gone
		r.mu.RUnlock()
		if n == 0 {
			return
		}
		select {
		case <-gone:
		case <-ctx.Done():
			return
		}
	}
}
