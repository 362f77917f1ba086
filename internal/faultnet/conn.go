package faultnet

import (
	"errors"
	"io"
	"net"
	"time"
)

// The addresses are from the block that is kept for documentation.
var serverAddr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}

// link is a connection: two ends and a pipe in each direction.
type link struct {
	network        *Network
	client, server *Conn
	open           int // ends not closed; guarded by the mutex of the network
}

// newLink adds a link to the network, whose mutex the caller holds.
func (n *Network) newLink() *link {
	l := &link{network: n, open: 2}
	up, down := newPipe(n.config), newPipe(n.config)
	addr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 1024 + n.dialed%(65536-1024)}
	n.dialed++
	l.client = &Conn{link: l, in: down, out: up, local: addr, remote: serverAddr}
	l.server = &Conn{link: l, in: up, out: down, local: serverAddr, remote: addr}
	n.links = append(n.links, l)
	return l
}

func (l *link) setSilent(silent bool) {
	l.client.out.setSilent(silent)
	l.client.in.setSilent(silent)
}

func (l *link) cut() {
	l.client.out.cut()
	l.client.in.cut()
}

// Conn is one end of a connection. Its faults strike the whole connection,
// whichever end they are called on.
type Conn struct {
	link          *link
	in, out       *pipe
	local, remote *net.TCPAddr
}

// Silence makes the path dead in both directions, and neither end is told.
// Bytes that had arrived can still be read. Bytes on their way and bytes
// written from now on are held back, and so is the news that an end was
// closed: reads block, and writes succeed until the buffer is full and then
// block. Deadlines and Close work as ever.
func (c *Conn) Silence() { c.link.setSilent(true) }

// Heal ends a silence. All that was held back is sent again at this moment, in
// order, as TCP would retransmit it: the first byte arrives after one latency.
// It has no effect on a network that is silent as a whole beyond this
// connection: dials go on waiting.
func (c *Conn) Heal() { c.link.setSilent(false) }

// Cut ends the connection at once, even if it is silent. Bytes not yet read are
// lost. Every blocked and later call at both ends fails with ECONNRESET, until
// that end is closed.
func (c *Conn) Cut() {
	n := c.link.network
	n.mu.Lock()
	defer n.mu.Unlock()
	c.link.cut()
	n.remove(c.link)
}

// Read reads bytes that have arrived. It returns io.EOF after the last byte
// that the other end wrote before it was closed.
func (c *Conn) Read(b []byte) (int, error) {
	count, err := c.in.read(b)
	return count, c.wrap("read", err)
}

// Write puts bytes on their way; success does not mean that they arrived. It
// fails with EPIPE once the news has arrived that the other end was closed.
// The bytes of concurrent writes are not mixed.
func (c *Conn) Write(b []byte) (int, error) {
	count, err := c.out.write(b)
	return count, c.wrap("write", err)
}

// Close closes this end and unblocks its calls, which fail with net.ErrClosed.
// Bytes already written still arrive at the other end, followed by io.EOF.
func (c *Conn) Close() error {
	end, err := c.out.closeWrite()
	if err != nil {
		return c.wrap("close", err)
	}
	c.in.closeRead(end)
	n := c.link.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.link.open--; c.link.open == 0 {
		n.remove(c.link)
	}
	return nil
}

// LocalAddr returns the address of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address of the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets the deadlines of both Read and Write.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the time at which blocked and later reads fail with
// os.ErrDeadlineExceeded. The zero time means never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.wrap("set", c.in.setReadDeadline(t))
}

// SetWriteDeadline sets the time at which blocked and later writes fail with
// os.ErrDeadlineExceeded. The zero time means never.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.wrap("set", c.out.setWriteDeadline(t))
}

func (c *Conn) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}
