package netio

import (
	"net"
	"syscall"
)

// TryWriter writes to a connection without waiting. One goroutine may use it at
// a time.
type TryWriter struct {
	raw  syscall.RawConn
	rest []byte
	err  error
	f    func(fd uintptr) bool // try, made once
}

// NewTryWriter returns a TryWriter of a connection that is nothing but a file
// descriptor, nil for others.
func NewTryWriter(conn net.Conn) *TryWriter {
	raw := rawConn(conn)
	if raw == nil {
		return nil
	}
	w := &TryWriter{raw: raw}
	w.f = w.try
	return w
}

// Write writes what the connection takes without waiting, and returns the rest.
func (w *TryWriter) Write(b []byte) (rest []byte, err error) {
	w.rest, w.err = b, nil
	if err = w.raw.Write(w.f); err == nil {
		err = w.err
	}
	rest, w.rest = w.rest, nil
	return rest, err
}

// try writes once. It reports true: it never waits.
func (w *TryWriter) try(fd uintptr) bool {
	n, err := writeNow(fd, w.rest)
	w.rest, w.err = w.rest[n:], err
	return true
}
