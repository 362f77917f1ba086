package tunnel

import "sync"

// The sizes in bytes of pooled buffers: of small messages, small batches, full
// batches, and large messages. gRPC does not pool buffers of 1 KiB and less.
const (
	tinyBuffer  = 1280
	smallBuffer = 4 << 10
	largeBuffer = 32 << 10
)

var bufferSizes = [...]int{tinyBuffer, smallBuffer, largeBuffer, 128 << 10, 512 << 10, 2 << 20, 5 << 20}

// buffers is a mem.BufferPool. Unlike gRPC's own pools it does not clear what
// comes back: nobody reads beyond what was written.
type buffers struct{ pools [len(bufferSizes)]sync.Pool }

var pool = &buffers{}

// Get returns a buffer of the length n.
func (p *buffers) Get(n int) *[]byte {
	for i, size := range bufferSizes {
		if n > size {
			continue
		}
		if b, ok := p.pools[i].Get().(*[]byte); ok {
			*b = (*b)[:n]
			return b
		}
		b := make([]byte, n, size)
		return &b
	}
	b := make([]byte, n)
	return &b
}

// Put takes a buffer back, unless it is not of one of the sizes.
func (p *buffers) Put(b *[]byte) {
	for i, size := range bufferSizes {
		if cap(*b) == size {
			p.pools[i].Put(b)
			return
		}
	}
}
