package tunnel

import "sync"

// The sizes in bytes of pooled buffers. gRPC does not pool buffers of 1 KiB and
// less.
const (
	tinyBuffer  = 1280
	smallBuffer = 4 << 10
	largeBuffer = 32 << 10
)

// buffers is a mem.BufferPool of the sizes that batches and small messages have.
// Unlike gRPC's own pools it does not clear what comes back: nobody reads beyond
// what was written.
type buffers struct{ tiny, small, large sync.Pool }

var pool = &buffers{}

// Get returns a buffer of the length n.
func (p *buffers) Get(n int) *[]byte {
	from, size := &p.large, largeBuffer
	switch {
	case n <= tinyBuffer:
		from, size = &p.tiny, tinyBuffer
	case n <= smallBuffer:
		from, size = &p.small, smallBuffer
	case n > largeBuffer:
		b := make([]byte, n)
		return &b
	}
	if b, ok := from.Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, size)
	return &b
}

// Put takes a buffer back.
func (p *buffers) Put(b *[]byte) {
	switch cap(*b) {
	case tinyBuffer:
		p.tiny.Put(b)
	case smallBuffer:
		p.small.Put(b)
	case largeBuffer:
		p.large.Put(b)
	}
}
