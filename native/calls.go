package native

import (
	"errors"
	"sync"
	"time"
)

// calls are the calls that this end has made on a connection and that wait for
// their answers.
type calls struct {
	// mu guards what follows.
	mu      sync.Mutex
	pending map[int64]*call
	next    int64      // correlation id
	late    []lateCall // the last that were given up; at most maxLate
	lateAt  int
	closed  error       // why no more may begin
	timer   *time.Timer // runs expire; nil unless a call waits that may expire
}

// call is a call that waits.
type call struct {
	id      int64
	answer  chan answer // has room for one
	expires time.Time   // zero: never
	came    func()      // called if the answer comes when nobody waits any more; may be nil
}

// answer is the body of an answer, from the pool and the receiver's, or why there
// is none.
type answer struct {
	body *[]byte
	err  error
}

// maxLate is how many calls are remembered that were given up.
const maxLate = 8

// lateCall is a call that was given up, in case its answer comes after all.
type lateCall struct {
	id   int64
	came func()
}

// errExpired is the answer to a call that has waited for long enough.
var errExpired = errors.New("expired")

// begin enters a call. If wait is not 0 the call ends with errExpired after that.
// It returns why the connection takes none.
func (cs *calls) begin(wait time.Duration, came func()) (*call, error) {
	c := &call{answer: make(chan answer, 1), came: came}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed != nil {
		return nil, cs.closed
	}
	if cs.pending == nil {
		cs.pending = make(map[int64]*call)
	}
	// Ids are not negative: a Java peer stores calls by id modulo its capacity.
	cs.next++
	c.id = cs.next
	cs.pending[c.id] = c
	if wait > 0 {
		c.expires = time.Now().Add(wait)
		if cs.timer == nil {
			cs.timer = time.AfterFunc(wait, cs.expire)
		}
	}
	return c, nil
}

// expire ends the calls that have waited for long enough. There is one timer for
// all: nearly all have had their answer when it runs.
func (cs *calls) expire() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.timer = nil
	now := time.Now()
	var next time.Time
	for _, c := range cs.pending {
		switch {
		case c.expires.IsZero():
		case !c.expires.After(now):
			cs.forget(c)
			c.answer <- answer{err: errExpired}
		case next.IsZero() || c.expires.Before(next):
			next = c.expires
		}
	}
	if !next.IsZero() && cs.closed == nil {
		cs.timer = time.AfterFunc(next.Sub(now), cs.expire)
	}
}

// forget gives a call up. cs.mu is held.
func (cs *calls) forget(c *call) {
	delete(cs.pending, c.id)
	if c.came == nil {
		return
	}
	if len(cs.late) < maxLate {
		cs.late = append(cs.late, lateCall{c.id, c.came})
	} else {
		cs.late[cs.lateAt%maxLate] = lateCall{c.id, c.came}
	}
	cs.lateAt++
}

// giveUp ends a call whose answer has not come. It reports false if it has: then it
// is in the call's channel, or about to be.
func (cs *calls) giveUp(c *call) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.pending[c.id] != c {
		return false
	}
	cs.forget(c)
	return true
}

// complete gives a call its answer. It reports false if there is no such call:
// then the body remains the caller's.
func (cs *calls) complete(id int64, body *[]byte) bool {
	cs.mu.Lock()
	c := cs.pending[id]
	delete(cs.pending, id)
	var came func()
	if c == nil {
		for i, l := range cs.late {
			if l.came != nil && l.id == id {
				came = l.came
				cs.late[i] = lateCall{}
			}
		}
	}
	cs.mu.Unlock()
	if came != nil {
		came()
	}
	if c == nil {
		return false
	}
	c.answer <- answer{body: body}
	return true
}

// close ends all calls with err and lets no more begin.
func (cs *calls) close(err error) {
	cs.mu.Lock()
	pending := cs.pending
	if cs.closed == nil {
		cs.closed = err
	}
	cs.pending, cs.late = nil, nil
	if cs.timer != nil {
		cs.timer.Stop()
		cs.timer = nil
	}
	cs.mu.Unlock()
	for _, c := range pending {
		c.answer <- answer{err: err}
	}
}

// ended reports whether no more calls may begin.
func (cs *calls) ended() bool { return cs.why() != nil }

// why tells why no more calls may begin, nil if they may.
func (cs *calls) why() error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.closed
}

// busy reports whether several calls wait: others may be about to send.
func (cs *calls) busy() bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.pending) > 1
}

// begun returns how many calls of this end there have been.
func (cs *calls) begun() uint64 {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return uint64(cs.next) //nolint:gosec // never negative
}

// id returns the correlation id of a call that nobody waits for.
func (cs *calls) id() int64 {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.next++
	return cs.next
}
