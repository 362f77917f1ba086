package tunnel

// queue is a first-in-first-out queue. The space of what has left is used again,
// so that a queue that is never empty does not grow for ever. The zero value is
// empty.
type queue[T any] struct {
	items []T // those before head have left
	head  int
}

// use makes the queue begin with this storage. It must be empty.
func (q *queue[T]) use(storage []T) { q.items, q.head = storage[:0], 0 }

func (q *queue[T]) len() int { return len(q.items) - q.head }

// front returns the first of the queue, which must not be empty. It is valid
// until the next push or pop.
func (q *queue[T]) front() *T { return &q.items[q.head] }

// back returns the last.
func (q *queue[T]) back() *T { return &q.items[len(q.items)-1] }

func (q *queue[T]) push(v T) {
	if len(q.items) == cap(q.items) && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

// pop drops the first.
func (q *queue[T]) pop() {
	var zero T
	q.items[q.head] = zero
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}

// all returns the queue's content. It is valid until the next push or pop.
func (q *queue[T]) all() []T { return q.items[q.head:] }

// drop empties the queue and lets go of its storage.
func (q *queue[T]) drop() { q.items, q.head = nil, 0 }
