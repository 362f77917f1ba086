package netio

import (
	"context"
	"net"
	"runtime"
	"sync"

	"github.com/pushtunnel/pushtunnel/internal/bufpool"
)

const (
	// first and batch are how large the piece that is written at a time may grow by
	// adding small frames: the first that waits, and those behind it.
	first = 4 << 10
	batch = bufpool.Large
	// inlineRounds is how many pieces a sender writes, its own and others', before
	// a goroutine takes over.
	inlineRounds = 8
)

// Writer writes frames to a connection, in order and whole. There is no goroutine
// while nothing waits: the sender that finds nobody writing does it, for the
// others too, and only if that might block does a goroutine take over. So Send
// never waits for the peer.
type Writer struct {
	conn  net.Conn
	try   *TryWriter  // for who is writing; nil if the connection has none
	broke func(error) // called once, without a lock, when a write has failed

	// mu guards what follows.
	mu      sync.Mutex
	queue   []*[]byte // from the pool
	size    int       // bytes in queue
	writing bool      // somebody is
	closed  error     // why nothing is written any more
	room    chan struct{}
}

// NewWriter returns a Writer of a connection. broke is called when a write has
// failed; it must not call the Writer.
func NewWriter(conn net.Conn, broke func(error)) *Writer {
	return &Writer{conn: conn, try: NewTryWriter(conn), broke: broke}
}

// Send writes a frame, in the end. It does not keep it. It returns an error if
// the Writer is closed: then nothing of the frame has been or will be sent.
// busy says that others are about to send, too: it is worth to wait for them.
func (w *Writer) Send(frame []byte, busy bool) error {
	w.mu.Lock()
	if w.closed != nil {
		defer w.mu.Unlock()
		return w.closed
	}
	w.add(frame)
	if w.writing {
		w.mu.Unlock()
		return nil
	}
	w.writing = true
	if busy {
		w.mu.Unlock()
		runtime.Gosched()
		w.mu.Lock()
	}
	if w.try == nil {
		w.mu.Unlock()
		go w.drain(nil, nil)
		return nil
	}
	w.inline()
	return nil
}

// add queues a frame. w.mu is held.
func (w *Writer) add(frame []byte) {
	w.size += len(frame)
	if n := len(w.queue); n > 0 {
		if last := w.queue[n-1]; len(*last)+len(frame) <= cap(*last) {
			*last = append(*last, frame...)
			return
		}
	}
	size := first
	if len(w.queue) > 0 {
		size = batch
	}
	b := bufpool.Pool.Get(max(len(frame), size))
	*b = append((*b)[:0], frame...)
	w.queue = append(w.queue, b)
}

// take takes the first piece of the queue, nil if there is none: then nobody is
// writing any more. w.mu is held.
func (w *Writer) take() *[]byte {
	if len(w.queue) == 0 || w.closed != nil {
		w.writing = false
		w.wake()
		return nil
	}
	b := w.queue[0]
	w.queue[0] = nil
	if w.queue = w.queue[1:]; len(w.queue) == 0 {
		w.queue = nil
	}
	w.size -= len(*b)
	w.wake()
	return b
}

// wake wakes those that wait. w.mu is held.
func (w *Writer) wake() {
	if w.room != nil {
		close(w.room)
		w.room = nil
	}
}

// inline writes what waits, as far as the connection takes it. w.mu is held, and
// released.
func (w *Writer) inline() {
	for range inlineRounds {
		b := w.take()
		w.mu.Unlock()
		if b == nil {
			return
		}
		rest, err := w.try.Write(*b)
		switch {
		case err != nil:
			bufpool.Pool.Put(b)
			w.fail(err)
			return
		case len(rest) > 0:
			go w.drain(b, rest)
			return
		}
		bufpool.Pool.Put(b)
		w.mu.Lock()
	}
	w.mu.Unlock()
	go w.drain(nil, nil)
}

// drain writes the rest of b, if it isn't nil, and then what waits.
func (w *Writer) drain(b *[]byte, rest []byte) {
	for {
		if b != nil {
			_, err := w.conn.Write(rest)
			bufpool.Pool.Put(b)
			if err != nil {
				w.fail(err)
				return
			}
		}
		w.mu.Lock()
		b = w.take()
		w.mu.Unlock()
		if b == nil {
			return
		}
		rest = *b
	}
}

func (w *Writer) fail(err error) {
	if w.Close(err) {
		w.broke(err)
	}
}

// Close lets nothing more be written, because of err. What waits is dropped. It
// reports whether it was the first. It does not close the connection.
func (w *Writer) Close(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed != nil {
		return false
	}
	w.closed = err
	for _, b := range w.queue {
		bufpool.Pool.Put(b)
	}
	w.queue, w.size = nil, 0
	w.wake()
	return true
}

// Waiting returns how many bytes wait to be written.
func (w *Writer) Waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.size
}

// Wait waits until fewer than limit bytes wait to be written, the Writer is
// closed or ctx ends.
func (w *Writer) Wait(ctx context.Context, limit int) {
	w.await(ctx, func() bool { return w.size < limit })
}

// Drain waits until all has been handed to the connection, the Writer is closed
// or ctx ends.
func (w *Writer) Drain(ctx context.Context) {
	w.await(ctx, func() bool { return w.size == 0 && !w.writing })
}

func (w *Writer) await(ctx context.Context, enough func() bool) {
	for {
		w.mu.Lock()
		if w.closed != nil || enough() {
			w.mu.Unlock()
			return
		}
		if w.room == nil {
			w.room = make(chan struct{})
		}
		room := w.room
		w.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return
		}
	}
}
