package tunnel

import "sync/atomic"

// Budget is memory that several sessions share: what they hold of their peers'
// data, and what they have to send. Half of it is for those that hold little: so
// a few peers that make this end hold much do not keep the others from being
// served. Its methods may be called by any goroutine. A nil Budget has no end.
type Budget struct {
	size int64
	left atomic.Int64
}

// little is how many bytes a session may hold to count as one that holds little.
const little = 64 << 10

// NewBudget returns a Budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	b := &Budget{size: bytes}
	b.left.Store(bytes)
	return b
}

// Take takes n bytes for a session that holds so many already. It reports false,
// and takes none, if there are not so many, or it would hold more than 64 KiB and
// leave less than half of the Budget to others.
func (b *Budget) Take(n, held int64) bool {
	if b == nil || held+n <= little {
		return b.take(n, 0)
	}
	return b.take(n, b.size/2)
}

// TakeSpare takes n bytes for somebody who has no session, and shall leave three
// quarters of the Budget to those that have one.
func (b *Budget) TakeSpare(n int64) bool {
	if b == nil {
		return true
	}
	return b.take(n, b.size/4*3)
}

// take takes n bytes if it leaves so many.
func (b *Budget) take(n, leave int64) bool {
	if b == nil {
		return true
	}
	if b.left.Add(-n) < leave {
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
	size   int64
	left   atomic.Int64
	shared *Budget
}

func (b *budget) init(cfg *Config) {
	b.size, b.shared = cfg.MaxBuffered, cfg.Memory
	b.left.Store(b.size)
}

// take takes n bytes, or tells which limit stands against it; empty if none does.
func (b *budget) take(n int64) Limit {
	left := b.left.Add(-n)
	if left < 0 {
		b.left.Add(n)
		return LimitBuffered
	}
	if !b.shared.Take(n, b.size-left-n) {
		b.left.Add(n)
		return LimitMemory
	}
	return ""
}

func (b *budget) give(n int64) {
	b.left.Add(n)
	b.shared.Give(n)
}
