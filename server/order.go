package server

import "slices"

// order is the sessions that take calls, the oldest first. Adding and removing one
// costs the same however many there are, and a list of all is a copy.
type order struct {
	slots []*Session // nil where one was; each session knows its place
	holes int
}

// fewSlots is how many slots are not worth to be tidied up.
const fewSlots = 64

func (o *order) add(s *Session) {
	s.slot = len(o.slots)
	o.slots = append(o.slots, s)
}

// has reports whether a session is in.
func (o *order) has(s *Session) bool { return s.slot < len(o.slots) && o.slots[s.slot] == s }

// remove takes a session out. It reports whether it was in.
func (o *order) remove(s *Session) bool {
	if !o.has(s) {
		return false
	}
	o.slots[s.slot] = nil
	o.holes++
	if o.holes > len(o.slots)/2 && len(o.slots) >= fewSlots {
		o.slots, o.holes = o.all(), 0
		for i, s := range o.slots {
			s.slot = i
		}
	}
	return true
}

// len returns how many sessions are in.
func (o *order) len() int { return len(o.slots) - o.holes }

// all returns the sessions in a slice of its own.
func (o *order) all() []*Session {
	sessions := slices.Grow([]*Session(nil), len(o.slots)-o.holes)
	for _, s := range o.slots {
		if s != nil {
			sessions = append(sessions, s)
		}
	}
	return sessions
}

// after copies sessions that came after a revision to some, the oldest first and as
// many as fit, and returns how many.
func (o *order) after(revision uint64, some []*Session) (n int) {
	for _, s := range o.slots[o.place(revision):] {
		if n == len(some) {
			break
		}
		if s != nil {
			some[n] = s
			n++
		}
	}
	return n
}

// place returns a place in the slots before which no session came after a revision,
// and behind which no other did.
func (o *order) place(revision uint64) int {
	low, high := 0, len(o.slots)
	for low < high {
		middle := low + (high-low)/2
		i := middle
		for i < high && o.slots[i] == nil {
			i++
		}
		if i < high && o.slots[i].came <= revision {
			low = i + 1
		} else {
			high = middle
		}
	}
	return low
}
