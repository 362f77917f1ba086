package tunnel

import "sync"

const (
	smallBatch = 4 << 10
	largeBatch = 32 << 10
)

// buffers is a mem.BufferPool of two sizes, those that batches have. Unlike
// gRPC's own pools it does not clear what comes back: nobody reads beyond what
// was written.
type buffers struct{ small, large sync.Pool }

var batchPool = &buffers{}

// Get returns a buffer of the length n.
func (p *buffers) Get(n int) *[]byte {
	pool, size := &p.small, smallBatch
	switch {
	case n > largeBatch:
		b := make([]byte, n)
		return &b
	case n > smallBatch:
		pool, size = &p.large, largeBatch
	}
	if b, ok := pool.Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, size)
	return &b
}

// Put takes a buffer back.
func (p *buffers) Put(b *[]byte) {
	switch c := cap(*b); {
	case c == smallBatch:
		p.small.Put(b)
	case c == largeBatch:
		p.large.Put(b)
	}
}
