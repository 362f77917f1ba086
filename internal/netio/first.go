package netio

import (
	"io"
	"net"
)

// First waits for the first byte that the peer sends, and returns it with a
// connection that still begins with it: conn itself if that can be. If the
// connection ends before, the error is io.EOF.
func First(conn net.Conn) (byte, net.Conn, error) {
	var b [1]byte
	raw := rawConn(conn)
	if raw == nil {
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return 0, conn, err
		}
		return b[0], &Prefixed{Conn: conn, Prefix: b[:]}, nil
	}
	var n int
	var readErr error
	err := raw.Read(func(fd uintptr) bool {
		var again bool
		n, again, readErr = peekNow(fd, b[:])
		return !again
	})
	if err == nil {
		err = readErr
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	return b[0], conn, err
}

// Prefixed is a connection of which the first bytes have been read already.
type Prefixed struct {
	net.Conn
	Prefix []byte
}

// Read returns the prefix first.
func (c *Prefixed) Read(b []byte) (int, error) {
	if len(c.Prefix) > 0 {
		n := copy(b, c.Prefix)
		if c.Prefix = c.Prefix[n:]; len(c.Prefix) == 0 {
			c.Prefix = nil
		}
		return n, nil
	}
	return c.Conn.Read(b)
}
