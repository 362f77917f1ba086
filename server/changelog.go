package server

import "sync"

// changelog is the last changes of a registry, for all who watch it. The registry
// adds to it and waits for nobody; a watcher asks for what comes after the revision
// that it has. Its mutex is apart from the registry's, so that calls do not meet
// watchers.
type changelog struct {
	// mu guards what follows. It is held for a few copies at most.
	mu     sync.Mutex
	ring   []event // the change that made revision n is at n modulo the length
	first  uint64  // the revision before the oldest change in the ring
	last   uint64  // the newest revision
	told   uint64  // the revision that was announced last
	waiter chan struct{}
}

// event is a change. Its place in the ring tells the revision.
type event struct {
	kind    ChangeKind
	session *Session
}

// newChangelog returns a log without changes, of which the next is the one after a
// revision.
func newChangelog(revision uint64, size int) *changelog {
	return &changelog{ring: make([]event, size), first: revision, last: revision, told: revision}
}

// add adds a change. Who adds calls announce then.
func (l *changelog) add(e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := uint64(len(l.ring))
	l.last++
	l.ring[l.last%size] = e
	if l.last-l.first > size {
		l.first = l.last - size
	}
}

// announce wakes who waits, if there are changes that were not announced.
func (l *changelog) announce() {
	if w := l.waiting(); w != nil {
		close(w)
	}
}

// waiting returns the channel to close, nil if there is none.
func (l *changelog) waiting() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told == l.last {
		return nil
	}
	l.told = l.last
	w := l.waiter
	l.waiter = nil
	return w
}

// after copies the changes after a revision to batch, the oldest first and as many
// as fit, and returns how many. If there are none, more is closed when there are.
// ok is false if some of them are no longer there.
func (l *changelog) after(revision uint64, batch []event) (n int, more <-chan struct{}, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case revision < l.first:
		return 0, nil, false
	case revision == l.last:
		if l.waiter == nil {
			l.waiter = make(chan struct{})
		}
		return 0, l.waiter, true
	}
	for n < len(batch) && revision < l.last {
		revision++
		batch[n] = l.ring[revision%uint64(len(l.ring))]
		n++
	}
	return n, nil, true
}
