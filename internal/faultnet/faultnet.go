// Package faultnet is an in-memory network with faults, for tests only.
//
// A Network joins one listener with any number of dialers. It has a latency, a
// bandwidth and socket buffers, and a test can silence it, cut it and have it
// refuse dials. It runs in real time, or in virtual time when all of it
// is made and used inside one testing/synctest bubble: there every blocked call
// is durably blocked. The network has no goroutines of its own.
package faultnet

import (
	"context"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// DefaultBuffer is the buffer of a Config that names none.
const DefaultBuffer = 4 << 20

// Config describes the path between the two ends of every connection.
type Config struct {
	// Latency is the time a byte takes in one direction.
	Latency time.Duration
	// Bandwidth is the number of bytes per second that each direction of each
	// connection carries. Zero means no limit.
	Bandwidth int
	// Buffer is the number of bytes that may be written to a connection and not
	// yet read at the other end; then Write blocks. Zero means DefaultBuffer.
	Buffer int
}

// Network is a set of connections over paths of one Config. Its methods may be
// called from several goroutines at once.
type Network struct {
	config Config

	mu       sync.Mutex // taken before the mutex of a pipe
	changed  chan struct{}
	silent   bool
	refusing bool
	dialed   int
	links    []*link // in dial order
	listener *listener
}

// New makes a network without listener: dials are refused.
func New(config Config) *Network {
	if config.Buffer <= 0 {
		config.Buffer = DefaultBuffer
	}
	return &Network{config: config, changed: make(chan struct{})}
}

// Listener returns the open listener of the network, or opens one if there is
// none or the last one was closed. The connections it accepts are of type
// *Conn. Closing it cuts the connections that wait to be accepted, leaves the
// accepted ones alone, and has later dials refused.
func (n *Network) Listener() net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listener == nil {
		n.listener = &listener{network: n, arrival: sync.NewCond(&n.mu)}
	}
	return n.listener
}

// Dial opens a connection. It takes one round trip, after which both ends
// exist. It fails with ECONNREFUSED if at the end of the round trip there is no
// open listener or the network refuses dials. While the network is silent it
// waits; Heal starts the round trip anew.
func (n *Network) Dial(ctx context.Context) (*Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		changed := n.changed
		trip := time.NewTimer(2 * n.config.Latency)
		arrival := trip.C
		if n.silent {
			arrival = nil
		}
		n.mu.Unlock()
		select {
		case <-arrival:
		case <-changed:
		case <-ctx.Done():
		}
		trip.Stop()
		n.mu.Lock()
		switch {
		case ctx.Err() != nil:
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: serverAddr, Err: ctx.Err()}
		case changed != n.changed:
			continue
		case n.refusing || n.listener == nil:
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: serverAddr, Err: syscall.ECONNREFUSED}
		}
		l := n.newLink()
		n.listener.queue = append(n.listener.queue, l.server)
		n.listener.arrival.Signal()
		return l.client, nil
	}
}

// DialContext is Dial in the shape that grpc.WithContextDialer takes. It
// ignores the address.
func (n *Network) DialContext(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := n.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// RefuseDials sets whether dials fail. Open connections are not affected.
func (n *Network) RefuseDials(refuse bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refusing = refuse
}

// Silence makes the path of every connection dead, as Conn.Silence does, and
// has dials wait.
func (n *Network) Silence() { n.setSilent(true) }

// Heal ends every silence, that of the network and those of its connections.
func (n *Network) Heal() { n.setSilent(false) }

func (n *Network) setSilent(silent bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.silent != silent {
		n.silent = silent
		close(n.changed)
		n.changed = make(chan struct{})
	}
	for _, l := range n.links {
		l.setSilent(silent)
	}
}

// Cut cuts every connection, as Conn.Cut does. Later dials succeed.
func (n *Network) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		l.cut()
	}
	n.links = nil
}

// Conns returns the dialing ends of the connections that are neither cut nor
// closed at both ends, in the order in which they were dialed.
func (n *Network) Conns() []*Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	conns := make([]*Conn, len(n.links))
	for i, l := range n.links {
		conns[i] = l.client
	}
	return conns
}

// remove drops a link from Conns and from the reach of faults.
func (n *Network) remove(l *link) {
	n.links = slices.DeleteFunc(n.links, func(other *link) bool { return other == l })
}

// listener is the one place where a network accepts connections. The mutex of
// the network guards it.
type listener struct {
	network *Network
	arrival *sync.Cond
	queue   []*Conn
	closed  bool
}

func (ln *listener) Accept() (net.Conn, error) {
	ln.network.mu.Lock()
	defer ln.network.mu.Unlock()
	for !ln.closed && len(ln.queue) == 0 {
		ln.arrival.Wait()
	}
	if ln.closed {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: serverAddr, Err: net.ErrClosed}
	}
	conn := ln.queue[0]
	ln.queue = ln.queue[1:]
	return conn, nil
}

func (ln *listener) Close() error {
	n := ln.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if ln.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: serverAddr, Err: net.ErrClosed}
	}
	ln.closed = true
	n.listener = nil
	for _, conn := range ln.queue {
		conn.link.cut()
		n.remove(conn.link)
	}
	ln.queue = nil
	ln.arrival.Broadcast()
	return nil
}

func (ln *listener) Addr() net.Addr { return serverAddr }
