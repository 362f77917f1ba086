package server

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// registry knows which sessions there are, and under which names they take
// calls. A name that has no session and no waiting call is not in it.
type registry struct {
	// mu guards what follows. The slices and groups in it are never changed, but
	// replaced.
	mu       sync.RWMutex
	names    map[key]*group
	ids      map[string]*Session
	waiters  map[key]*waiter
	order    order          // the sessions that are in names
	subjects map[string]int // how many of those each subject has
	retired  map[key]int    // how many sessions of a name go on that take no more calls
	gone     chan struct{}  // closed, and made anew, when the last session goes
	revision uint64         // how many sessions have come into the order and left it
	watchers int
	recent   *changelog // for them; nil if there are none

	closed <-chan struct{} // closed when nobody shall wait any more

	duplicates Duplicates
	perName    int // how many sessions a name may have; 0: any number
	perSubject int // likewise
	backlog    int // how many recent changes are kept for watchers
}

// key is the name of a client, as the server knows it.
type key struct{ namespace, name string }

// String returns the key for people.
func (k key) String() string {
	if k.namespace == "" {
		return fmt.Sprintf("client %q", k.name)
	}
	return fmt.Sprintf("client %q of namespace %q", k.name, k.namespace)
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

func (r *registry) init(o *options, closed <-chan struct{}) {
	r.duplicates, r.perName, r.perSubject = o.duplicates, o.maxPerName, o.maxPerSubject
	r.backlog = o.backlog
	r.names = make(map[key]*group)
	r.ids = make(map[string]*Session)
	r.waiters = make(map[key]*waiter)
	r.subjects = make(map[string]int)
	r.retired = make(map[key]int)
	r.gone = make(chan struct{})
	r.closed = closed
}

// add enters a session. previous and lost are what it says of the session
// before. It returns the sessions that it takes the place of, already taken
// out of their name.
func (r *registry) add(s *Session, previous string, lost bool) (replaced []*Session, err error) {
	name := s.key()
	r.mu.Lock()
	defer r.unlock()
	var others []*Session
	if g := r.names[name]; g != nil {
		others = g.sessions
	}
	// A client that comes back shows the id of its old session, which only it
	// knows. So it is not in its own way. Nor is a session that showed the same:
	// the client has not seen the answer to it, or it would show that one's id.
	var left []*Session // those that take no more calls from now on
	if old := r.ids[previous]; old != nil && old.key() == name && old.peer.Subject == s.peer.Subject {
		others, left = without(others, old), append(left, old)
		if lost {
			replaced = append(replaced, old)
		}
	}
	for _, other := range others {
		if previous != "" && other.previous == previous && other.peer.Subject == s.peer.Subject {
			others, left = without(others, other), append(left, other)
			replaced = append(replaced, other)
		}
	}
	if len(others) > 0 {
		switch r.duplicates {
		case RefuseDuplicates:
			return nil, status.Errorf(codes.AlreadyExists, "pushtunnel: client name %q is in use", name.name)
		case ReplaceDuplicates:
			replaced, left = append(replaced, others...), append(left, others...)
			others = nil
		case AllowDuplicates:
		}
	}
	if err := r.room(s, len(others), left); err != nil {
		return nil, err
	}
	for _, other := range left {
		r.delist(other)
	}
	s.previous = previous
	r.enlist(s)
	r.put(name, append(slices.Clip(others), s))
	r.ids[s.ID()] = s
	if w := r.waiters[name]; w != nil {
		close(w.came)
		delete(r.waiters, name)
	}
	return replaced, nil
}

// room reports which limit stands against a session whose name has so many others,
// when those in left have left. r.mu is held.
func (r *registry) room(s *Session, others int, left []*Session) error {
	if r.perName > 0 && (others >= r.perName || r.retired[s.key()] >= max(r.perName, moving)) {
		return exceeded(tunnel.LimitSessionsPerName, "%d sessions of %v", r.perName, s.key())
	}
	subject := s.peer.Subject
	if subject == "" || r.perSubject <= 0 {
		return nil
	}
	has := r.subjects[subject]
	for _, other := range left {
		if other.peer.Subject == subject && r.order.has(other) {
			has--
		}
	}
	if has >= r.perSubject {
		return exceeded(tunnel.LimitSessionsPerSubject, "%d sessions of %q", r.perSubject, subject)
	}
	return nil
}

// enlist notes that a session takes calls from now on. r.mu is held.
func (r *registry) enlist(s *Session) {
	r.order.add(s)
	s.came = r.revision + 1 // which this makes
	r.note(SessionCame, s)
	if subject := s.peer.Subject; subject != "" {
		r.subjects[subject]++
	}
}

// delist notes that a session takes no more calls, once. r.mu is held.
func (r *registry) delist(s *Session) {
	if !r.order.remove(s) {
		return
	}
	r.note(SessionLeft, s)
	r.retired[s.key()]++ // until remove
	if subject := s.peer.Subject; subject != "" {
		if r.subjects[subject]--; r.subjects[subject] == 0 {
			delete(r.subjects, subject)
		}
	}
}

func without(sessions []*Session, s *Session) []*Session {
	i := slices.Index(sessions, s)
	if i < 0 {
		return sessions
	}
	return slices.Concat(sessions[:i], sessions[i+1:])
}

// put sets the sessions of a name. r.mu is held.
func (r *registry) put(name key, sessions []*Session) {
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
	defer r.unlock()
	r.retireLocked(s)
}

func (r *registry) retireLocked(s *Session) {
	if g := r.names[s.key()]; g != nil && slices.Contains(g.sessions, s) {
		r.delist(s)
		r.put(s.key(), without(g.sessions, s))
	}
}

// remove forgets a session, if it is known.
func (r *registry) remove(s *Session) {
	r.mu.Lock()
	defer r.unlock()
	if r.ids[s.ID()] != s {
		return
	}
	r.retireLocked(s)
	delete(r.ids, s.ID())
	if r.retired[s.key()]--; r.retired[s.key()] == 0 {
		delete(r.retired, s.key())
	}
	if len(r.ids) == 0 {
		close(r.gone)
		r.gone = make(chan struct{})
	}
}

// find returns the sessions of a name, nil if there are none.
func (r *registry) find(name key) *group {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.names[name]
}

// wait waits until the name has a session that is not avoid, ctx ends or the
// registry is closed. It returns nil in the last two cases.
func (r *registry) wait(ctx context.Context, name key, avoid *Session) *group {
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

// everywhere returns the sessions that take calls, of all namespaces, and the revision
// at which they did. There may be very many: the lock is held for a plain copy alone,
// to memory that the system has given already, which takes a tenth of the time.
func (r *registry) everywhere() (sessions []*Session, revision uint64) {
	r.mu.RLock()
	n := len(r.order.slots)
	r.mu.RUnlock()
	sessions = make([]*Session, 0, n+n/64) // room for some that come meanwhile
	clear(sessions[:cap(sessions)])
	r.mu.RLock()
	sessions, revision = append(sessions, r.order.slots...), r.revision
	r.mu.RUnlock()
	return slices.DeleteFunc(sessions, func(s *Session) bool { return s == nil }), revision
}

// after copies sessions that take calls and came after a revision to some, the oldest
// first, and returns how many.
func (r *registry) after(revision uint64, some []*Session) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.order.after(revision, some)
}

// list returns the sessions of a namespace that take calls: of these names, or all
// if there are none.
func (r *registry) list(namespace string, names []string) []*Session {
	if len(names) == 0 {
		all, _ := r.everywhere()
		return slices.DeleteFunc(all, func(s *Session) bool { return s.peer.Namespace != namespace })
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	var sessions []*Session
	for _, name := range names {
		if g := r.names[key{namespace, name}]; g != nil {
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
