package tunnel

import "sync/atomic"

// Budget is memory that several sessions share: what they hold of their peers'
// data, and what they have to send. Its methods may be called by any goroutine. A
// nil Budget has no end.
type Budget struct {
	size int64
	left atomic.Int64
}

// NewBudget returns a Budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	b := &Budget{size: bytes}
	b.left.Store(bytes)
	return b
}

// Take takes n bytes. It reports false, and takes none, if there are not so many.
func (b *Budget) Take(n int64) bool {
	if b == nil {
		return true
	}
	if b.left.Add(-n) < 0 {
		b.left.Add(n)
		return false
	}
	return true
}

// TakeSpare is Take for those who shall leave half of the Budget to others.
func (b *Budget) TakeSpare(n int64) bool {
	if b == nil {
		return true
	}
	if b.left.Add(-n) < b.size/2 {
		b.left.Add(n)
		return false
	}
	return true
}

// Give gives n bytes back that were taken.
func (b *Budget) Give(n int64) {
	if b != nil {
		b.left.Add(n)
	}
}

// Size returns how many bytes the Budget has in all, 0 if it has no end.
func (b *Budget) Size() int64 {
	if b == nil {
		return 0
	}
	return b.size
}

// Used returns how many bytes are taken.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.size - b.left.Load()
}

// budget is the memory of a session beyond what each call has a right to. It comes
// out of what the sessions share.
type budget struct {
	left   atomic.Int64
	shared *Budget
}

// take takes n bytes, or tells which limit stands against it; empty if none does.
func (b *budget) take(n int64) Limit {
	if b.left.Add(-n) < 0 {
		b.left.Add(n)
		return LimitBuffered
	}
	if !b.shared.Take(n) {
		b.left.Add(n)
		return LimitMemory
	}
	return ""
}

func (b *budget) give(n int64) {
	b.left.Add(n)
	b.shared.Give(n)
}
