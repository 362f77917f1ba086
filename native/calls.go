package native

import "sync"

// calls are the calls that this end has made on a connection and that wait for
// their answers.
type calls struct {
	// mu guards what follows.
	mu      sync.Mutex
	pending map[int64]*call
	next    int64 // correlation id
	late    [8]lateCall
	lateAt  int
	closed  error // why no more may begin
}

// call is a call that waits.
type call struct {
	id     int64
	answer chan answer // has room for one
}

// answer is the body of an answer, from the pool and the receiver's, or why there
// is none.
type answer struct {
	body *[]byte
	err  error
}

// lateCall is a call that was given up, in case its answer comes after all.
type lateCall struct {
	id   int64
	came func()
}

// begin enters a call. It returns why the connection takes none.
func (cs *calls) begin() (*call, error) {
	c := &call{answer: make(chan answer, 1)} // not pooled: a test's bubble has channels of its own
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
	return c, nil
}

// give up ends a call whose answer has not come. It reports false, and the answer
// is in the call's channel or about to be, if it has. came is called if it comes
// later, unless many others are given up before.
func (cs *calls) giveUp(c *call, came func()) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.pending[c.id] != c {
		return false
	}
	delete(cs.pending, c.id)
	if came != nil {
		cs.late[cs.lateAt%len(cs.late)] = lateCall{c.id, came}
		cs.lateAt++
	}
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
	cs.pending = nil
	cs.late = [len(cs.late)]lateCall{}
	cs.mu.Unlock()
	for _, c := range pending {
		c.answer <- answer{err: err}
	}
}

// busy reports whether several calls wait: others may be about to send.
func (cs *calls) busy() bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.pending) > 1
}

// id returns the correlation id of a call that nobody waits for.
func (cs *calls) id() int64 {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.next++
	return cs.next
}
