package tunnel

// ring is a queue of calls, linked through the calls themselves so that any of
// them can leave at once.
type ring struct{ head, tail *outbound }

// push puts c at the end unless it is in the queue.
func (r *ring) push(c *outbound) {
	if c.prev != nil || r.head == c {
		return
	}
	c.prev = r.tail
	if r.tail != nil {
		r.tail.next = c
	} else {
		r.head = c
	}
	r.tail = c
}

// remove takes c out of the queue if it is there.
func (r *ring) remove(c *outbound) {
	if c.prev == nil && r.head != c {
		return
	}
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
