package netio

import (
	"io"
	"net"
)

// First waits for the first bytes that the peer sends. It returns those that have
// come, at most len(b), in b, and a connection that still begins with them: conn
// itself if that can be. If the connection ends before, the error is io.EOF.
func First(conn net.Conn, b []byte) (n int, same net.Conn, err error) {
	raw := rawConn(conn)
	if raw == nil {
		for n == 0 && err == nil {
			n, err = conn.Read(b)
		}
		if n == 0 {
			return 0, conn, err
		}
		return n, &Prefixed{Conn: conn, Prefix: append([]byte(nil), b[:n]...)}, nil
	}
	var readErr error
	err = raw.Read(func(fd uintptr) bool {
		var again bool
		n, again, readErr = peekNow(fd, b)
		return !again
	})
	if err == nil {
		err = readErr
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	return n, conn, err
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
