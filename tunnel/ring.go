package tunnel

// ring is a queue of calls, linked through the calls themselves so that any of
// them can leave at once. A call is in one at most.
type ring struct {
	kind       ringKind
	head, tail *outbound
}

// ringKind tells the rings apart that a call may be in.
type ringKind uint8

const (
	noRing ringKind = iota
	readyRing
	spentRing
)

// push puts c at the end unless it is in a queue.
func (r *ring) push(c *outbound) {
	if c.ring != noRing {
		return
	}
	c.ring = r.kind
	c.prev = r.tail
	if r.tail != nil {
		r.tail.next = c
	} else {
		r.head = c
	}
	r.tail = c
}

// remove takes c out of the queue if it is there, and not in another one.
func (r *ring) remove(c *outbound) {
	if c.ring != r.kind {
		return
	}
	c.ring = noRing
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		r.head = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		r.tail = c.prev
	}
	c.prev, c.next = nil, nil
}
