package bufpool

import "testing"

func TestBuffersHaveTheirLength(t *testing.T) {
	p := &Buffers{}
	for _, size := range append(sizes[:], 0, 1<<20) {
		for _, n := range []int{size, size + 1} {
			for range 2 {
				b := p.Get(n)
				if len(*b) != n {
					t.Errorf("got %d bytes, want %d", len(*b), n)
				}
				p.Put(b)
			}
		}
	}
}

// What comes back is given out again only for what it is large enough for.
func TestBuffersTakeBackOnlyTheirOwn(t *testing.T) {
	p := &Buffers{}
	for _, size := range append(sizes[:], 0) {
		b := make([]byte, size+1)
		p.Put(&b)
	}
	for _, size := range sizes {
		for range 10 {
			if b := p.Get(size); cap(*b) != size {
				t.Errorf("got a capacity of %d bytes, want %d", cap(*b), size)
			}
		}
	}
}
