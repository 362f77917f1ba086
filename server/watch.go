package server

import (
	"context"
	"fmt"
	"iter"
)

// Change is what a watch yields: a snapshot, or a session that has come or left.
type Change struct {
	Kind ChangeKind
	// Revision is how many sessions had come and left, together, when the change
	// was made. It begins at 0 with each Server.
	Revision uint64
	// Session is the session that has come or left; nil in a snapshot.
	Session *Session
	// Sessions are those of a snapshot: all that took calls at its revision, of all
	// namespaces, the oldest first. The slice is the receiver's own. It is nil in
	// other changes.
	Sessions []*Session
}

// ChangeKind says what a Change is.
type ChangeKind uint8

const (
	// Snapshot is a whole picture. What was known before is to be forgotten.
	Snapshot ChangeKind = iota
	// SessionCame is a session that takes calls from now on.
	SessionCame
	// SessionLeft is a session that takes no more calls. Those under way on it may
	// still end in order; Session.Done tells when it has ended.
	SessionLeft
)

// String returns the kind in one word.
func (k ChangeKind) String() string {
	switch k {
	case Snapshot:
		return "snapshot"
	case SessionCame:
		return "came"
	case SessionLeft:
		return "left"
	}
	return fmt.Sprintf("ChangeKind(%d)", uint8(k))
}

// Watch yields which sessions take calls: first a snapshot, then each change, in
// order, with no gap: the revision of each is the one before plus one. Who applies
// the changes to the snapshot has what Server.All would return at that revision.
//
// The server never waits for a watcher. One that has fallen behind by more than
// WithWatchBacklog gets a new snapshot in place of the changes that it has missed,
// and goes on from there.
//
// The watch begins with the iteration and ends with it: when the loop is left, when
// ctx ends, or when the server is closed and the changes before that have been
// yielded. A server that is closed already yields a snapshot. There may be any
// number of watches. A watch has no goroutine; it holds a snapshot for as long as
// the loop does.
func (s *Server) Watch(ctx context.Context) iter.Seq[Change] {
	return func(yield func(Change) bool) { s.reg.watch(ctx, yield) }
}

// defaultBacklog is how many changes are kept for watchers.
const defaultBacklog = 1024

// WithWatchBacklog sets how many changes are kept for those who watch, all of them
// together. One that is further behind gets a new snapshot. Nothing is kept while
// nobody watches. The sessions that have left are kept with the changes, and the
// memory that they hold. The default is 1,024; the least is 1.
func WithWatchBacklog(n int) Option { return optionFunc(func(o *options) { o.backlog = max(n, 1) }) }

// watchBatch is how many changes a watch takes at a time.
const watchBatch = 32

// watch yields changes until it has a reason to stop.
func (r *registry) watch(ctx context.Context, yield func(Change) bool) {
	recent := r.follow()
	defer r.unfollow()
	var last uint64 // the revision that was yielded last
	batch := make([]event, watchBatch)
	for behind := true; ctx.Err() == nil; {
		if behind {
			var sessions []*Session
			sessions, last = r.everywhere()
			if !yield(Change{Kind: Snapshot, Revision: last, Sessions: sessions}) {
				return
			}
			behind = false
			continue
		}
		over := ended(r.closed) // before the look at what there is
		n, more, ok := recent.after(last, batch)
		switch {
		case !ok:
			behind = true
		case n > 0:
			for _, e := range batch[:n] {
				if last++; ctx.Err() != nil || !yield(Change{Kind: e.kind, Revision: last, Session: e.session}) {
					return
				}
			}
			clear(batch[:n])
		case over:
			return
		default:
			select {
			case <-more:
			case <-ctx.Done():
			case <-r.closed:
			}
		}
	}
}

func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// follow counts a watcher in, and returns the changes from now on.
func (r *registry) follow() *changelog {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watchers++; r.watchers == 1 {
		r.recent = newChangelog(r.revision, r.backlog)
	}
	return r.recent
}

// unfollow counts a watcher out.
func (r *registry) unfollow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watchers--; r.watchers == 0 {
		r.recent = nil
	}
}

// note counts a change, and tells it to those who watch. r.mu is held; unlock wakes
// them.
func (r *registry) note(kind ChangeKind, s *Session) {
	r.revision++
	if r.recent != nil {
		r.recent.add(event{kind, s})
	}
}

// unlock unlocks r.mu after changes, and then wakes those who watch: there may be
// many of them, and nobody else shall wait for that.
func (r *registry) unlock() {
	recent := r.recent
	r.mu.Unlock()
	if recent != nil {
		recent.announce()
	}
}
