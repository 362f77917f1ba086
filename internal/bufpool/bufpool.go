// Package bufpool has the buffers of messages and of what carries them.
package bufpool

import "sync"

// The sizes in bytes of pooled buffers: of small messages, small batches, full
// batches, several of these, and large messages. gRPC does not pool buffers of
// 1 KiB and less.
const (
	tiny  = 1280
	small = 4 << 10

	// Large is the size in bytes of a buffer for a full batch.
	Large = 32 << 10

	// Huge is the same for the batches of a connection that is not gRPC's. It is
	// less than 64 KiB, so that a quarter of it is less than a piece of a message.
	Huge = 60 << 10
)

var sizes = [...]int{tiny, small, Large, Huge, 128 << 10, 512 << 10, 2 << 20, 5 << 20}

// Buffers is a mem.BufferPool. Unlike gRPC's own pools it does not clear what
// comes back: nobody reads beyond what was written. The zero value is empty.
type Buffers struct{ pools [len(sizes)]sync.Pool }

// Pool is that of the process.
var Pool = &Buffers{}

// Get returns a buffer of the length n.
func (p *Buffers) Get(n int) *[]byte {
	for i, size := range sizes {
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
func (p *Buffers) Put(b *[]byte) {
	for i, size := range sizes {
		if cap(*b) == size {
			p.pools[i].Put(b)
			return
		}
	}
}
