package netio

import (
	"io"
	"net"
	"syscall"

	"google.golang.org/grpc/mem"

	"github.com/pushtunnel/pushtunnel/internal/bufpool"
)

// How many bytes are read at a time, at least: the larger number after a read that
// has filled its buffer.
const (
	readSize = bufpool.Large
	fastSize = bufpool.Huge
)

// Reader reads from a connection through a buffer that it has only while there
// is something in it. One goroutine may use it.
type Reader struct {
	conn net.Conn
	raw  syscall.RawConn // nil if the connection has none
	buf  *[]byte         // from the pool; nil while nothing is buffered
	r, w int             // what is buffered: (*buf)[r:w]
	fast bool            // the last read has filled its buffer

	// Of tryRead.
	n    int
	err  error
	tryF func(fd uintptr) bool // tryRead, made once

	// first is what waits in the place of a buffer: where reading without waiting is
	// not possible, with TLS above all, and in Wait.
	first   [16]byte
	waits   bool  // in Wait
	waited  int   // the bytes of first that Wait has read
	outcome error // of Wait, for Await
}

// NewReader returns a Reader of a connection.
func NewReader(conn net.Conn) *Reader {
	r := &Reader{conn: conn, raw: rawConn(conn)}
	r.tryF = r.tryRead
	return r
}

// Buffered returns what has been read and not discarded.
func (r *Reader) Buffered() []byte {
	if r.buf == nil {
		return nil
	}
	return (*r.buf)[r.r:r.w]
}

// Peek returns at least n bytes without discarding them, and blocks until they
// are there. They are valid until the next call. If the connection ends first it
// returns what there is, and io.EOF if that is nothing, io.ErrUnexpectedEOF if it
// is too little, or the connection's error. n must not be much larger than what
// the peer has shown to have sent: the buffer has room for it at once.
func (r *Reader) Peek(n int) ([]byte, error) {
	for r.w-r.r < n {
		if err := r.fill(n); err != nil {
			if err == io.EOF && r.w > r.r {
				err = io.ErrUnexpectedEOF
			}
			return r.Buffered(), err
		}
	}
	return r.Buffered(), nil
}

// Await waits until something is buffered, as Peek(1) does. While it waits it
// uses little stack, and no buffer if it can.
func (r *Reader) Await() error {
	if r.w > r.r {
		return nil
	}
	switch {
	case r.waited > 0:
		r.buf = bufpool.Pool.Get(r.size())
		r.w = copy(*r.buf, r.first[:r.waited])
		r.waited = 0
		return nil
	case r.outcome != nil:
		return r.outcome
	case r.buf != nil:
		return r.fill(1)
	case r.raw == nil:
		return r.readFirst()
	}
	r.n, r.err = 0, nil
	return r.came(r.raw.Read(r.tryF))
}

// Wait waits until Await need not wait any more. It uses less stack than Await: for
// a buffer that it has to make, Await may need more than a goroutine has at first. It
// reads a few bytes, so the next Await brings no more. It reports false, at once, if
// the connection can't do that. Nothing but Await or Peek must follow.
func (r *Reader) Wait() bool {
	if r.raw == nil {
		return false
	}
	if r.buf == nil && r.waited == 0 && r.outcome == nil {
		r.waits, r.err = true, nil
		r.outcome = r.raw.Read(r.tryF)
		r.waits = false
		if r.outcome == nil {
			r.outcome = r.err
		}
	}
	return true
}

// Discard forgets the next n bytes of what is buffered.
func (r *Reader) Discard(n int) {
	r.r += n
	if r.r >= r.w {
		r.Release()
	}
}

// Cut hands the first n of the buffered bytes over, 1 at least: the caller frees
// them.
func (r *Reader) Cut(n int) mem.Buffer {
	buf, rest := r.buf, (*r.buf)[r.r+n:r.w]
	if r.r > 0 { // only a buffer that begins where it did goes back to the pool
		defer r.Discard(n)
		return mem.Copy((*buf)[r.r:r.r+n], bufpool.Pool)
	}
	r.buf, r.w = nil, 0
	if len(rest) > 0 {
		r.buf = bufpool.Pool.Get(max(r.size(), len(rest)))
		r.w = copy(*r.buf, rest)
	}
	*buf = (*buf)[:n]
	return mem.NewBuffer(buf, bufpool.Pool)
}

// ReadFull fills b.
func (r *Reader) ReadFull(b []byte) error {
	n := copy(b, r.Buffered())
	r.Discard(n)
	_, err := io.ReadFull(r.conn, b[n:])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Release gives the buffer back, with what is in it.
func (r *Reader) Release() {
	if r.buf != nil {
		bufpool.Pool.Put(r.buf)
	}
	r.buf, r.r, r.w = nil, 0, 0
}

// fill reads more, with room for want bytes in all.
func (r *Reader) fill(want int) error {
	if r.buf == nil {
		return r.Await()
	}
	r.room(max(want, r.size()))
	n, err := r.conn.Read((*r.buf)[r.w:])
	r.w += n
	r.fast = r.w == len(*r.buf)
	if n > 0 {
		return nil
	}
	if r.r == r.w {
		r.Release()
	}
	return err
}

func (r *Reader) size() int {
	if r.fast {
		return fastSize
	}
	return readSize
}

// readFirst reads the first bytes, and then gets a buffer.
func (r *Reader) readFirst() error {
	n, err := r.conn.Read(r.first[:])
	if n == 0 {
		return err
	}
	r.buf = bufpool.Pool.Get(readSize)
	r.w = copy(*r.buf, r.first[:n])
	return nil
}

// tryFirst is tryRead for Wait.
func (r *Reader) tryFirst(fd uintptr) bool {
	n, again, err := readNow(fd, r.first[:])
	if again {
		return false
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	r.waited, r.err = n, err
	return true
}

// room makes room for want bytes in all, as many as possible behind what there
// is.
func (r *Reader) room(want int) {
	if r.buf == nil {
		r.buf = bufpool.Pool.Get(want)
	}
	b := *r.buf
	switch {
	case r.r == 0 && want <= len(b) && r.w < len(b):
	case want <= len(b) && r.r > 0:
		r.w = copy(b, b[r.r:r.w])
		r.r = 0
	default:
		more := bufpool.Pool.Get(max(want, 2*(r.w-r.r)))
		n := copy(*more, b[r.r:r.w])
		bufpool.Pool.Put(r.buf)
		r.buf, r.r, r.w = more, 0, n
	}
}

// came takes in what tryRead has read.
func (r *Reader) came(err error) error {
	r.w = r.n
	r.fast = r.buf != nil && r.w == len(*r.buf)
	switch {
	case err != nil:
	case r.err != nil:
		err = r.err
	case r.n == 0:
		err = io.EOF
	default:
		return nil
	}
	r.Release()
	return err
}

// tryRead reads what there is. It reports false if there is nothing, to be called
// again when there is.
func (r *Reader) tryRead(fd uintptr) bool {
	if r.waits {
		return r.tryFirst(fd)
	}
	if r.buf == nil {
		r.buf = bufpool.Pool.Get(r.size())
	}
	n, again, err := readNow(fd, *r.buf)
	if again {
		r.Release()
		return false
	}
	r.n, r.err = n, err
	return true
}
