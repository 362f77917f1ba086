package tunnel

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// Link is a live session, whatever its protocol. *Session is one; a protocol of
// its own brings its own. As a grpc.ClientConnInterface it makes calls to the
// peer. All methods may be called by any goroutine.
type Link interface {
	grpc.ClientConnInterface

	// Peer returns who is at the other end.
	Peer() Peer
	// InFlight returns how many calls are under way.
	InFlight() int
	// RoundTrip returns how long the last heartbeat took to come back, zero if
	// there is none.
	RoundTrip() time.Duration
	// Done returns a channel that is closed when the session has ended.
	Done() <-chan struct{}
	// Err tells why it has ended: nil if it has not, or in order.
	Err() error
	// Close ends it at once. The peer is told err as far as the protocol can; nil
	// means in order. Only the first Close counts.
	Close(err error)
	// Wait waits until nothing of the session runs any more but handlers.
	Wait()
	// GoAway asks the client to move. Calls go on until it does. Where the
	// protocol has no words for it, no new calls are taken (Config.OnGoAway is
	// called), those under way end, and then the session does.
	GoAway(GoAway)
	// Leave parts from the server without loss, as far as the protocol can. It
	// returns when the session has ended, or with ctx's error.
	Leave(ctx context.Context) error
}

var _ Link = (*Session)(nil)

// Protocol turns accepted byte connections into sessions. One Protocol serves any
// number of connections, and may be used by several servers. Its methods may be
// called by any goroutine.
type Protocol interface {
	// Name names the protocol: in Peer.Protocol, in logs, in the registry.
	Name() string

	// Match reports whether a connection that begins with these bytes, one at
	// least, speaks the protocol. It is asked only if several protocols share a
	// listener.
	Match(prefix []byte) Match

	// Serve serves one connection on the caller's goroutine until it ends, and
	// closes it. It returns why it ended; nil in order. It ends the connection
	// when ctx ends. Calls of the peer run elsewhere; they may outlive Serve.
	Serve(ctx context.Context, conn net.Conn, a Acceptor) error
}

// Match is what a Protocol says to the first bytes of a connection.
type Match uint8

const (
	// MatchNo means that they are of another protocol.
	MatchNo Match = iota
	// MatchMore means that it takes more bytes to tell.
	MatchMore
	// MatchYes means that they are of this protocol.
	MatchYes
)

// Acceptor admits the sessions that a Protocol makes. Package server has the one
// there is. It can be compared with ==: each server has its own.
type Acceptor interface {
	// Config returns what the server's user has set: limits, stats handlers, and
	// the Workers that calls of the peers shall run on.
	Config() Config

	// Identify asks who a client is that says of itself what is in remote: its
	// Name, Namespace, Labels and Addr. It returns what the server takes it for,
	// which may be something else, or a status error if it refuses the client. It
	// may block until ctx ends, which carries the peer.Peer of the connection. A
	// protocol asks for each connection that says that it is of a client.
	Identify(ctx context.Context, remote Peer) (Peer, error)

	// Accept admits a session of the client that Identify has returned, and makes
	// it known; if that was not asked, Accept does. It calls open once with what the session has to know, which includes OnEnd and OnGoAway:
	// the Link must call them. From the return of open on, calls may come. If the
	// session is refused, Accept returns why, as a status error; what becomes of
	// its connection is the protocol's to say. An empty remote.Session is filled
	// in. Accept does not block after Identify.
	Accept(remote Peer, open func(Config) Link) error
}

// Dialer opens sessions for a client.
type Dialer interface {
	// Dial opens one, until ctx ends. cfg.Remote.Name is the client's name; cfg
	// says what it serves and what it has to call when. Status errors tell whether
	// to try again: see client.Permanent.
	Dial(ctx context.Context, cfg Config) (Link, error)
}

// ServiceChecker is what a Dialer may be besides. The client asks it whether a
// service can be served before it registers the service.
type ServiceChecker interface {
	CheckService(desc *grpc.ServiceDesc) error
}

// protocols are those that go by a name.
var protocols struct {
	mu       sync.RWMutex
	accepted map[string]Protocol
	dialed   map[string]func(target string) (Dialer, error)
}

// RegisterProtocol makes a protocol known by its name, in the place of one that
// has the same. It is meant for programs that choose by configuration.
func RegisterProtocol(p Protocol) {
	protocols.mu.Lock()
	defer protocols.mu.Unlock()
	if protocols.accepted == nil {
		protocols.accepted = make(map[string]Protocol)
	}
	protocols.accepted[p.Name()] = p
}

// ProtocolByName returns the protocol that was registered by this name.
func ProtocolByName(name string) (Protocol, bool) {
	protocols.mu.RLock()
	defer protocols.mu.RUnlock()
	p, ok := protocols.accepted[name]
	return p, ok
}

// RegisterDialer makes the dialling end of a protocol known by the protocol's
// name, in the place of one that has the same.
func RegisterDialer(name string, dialer func(target string) (Dialer, error)) {
	protocols.mu.Lock()
	defer protocols.mu.Unlock()
	if protocols.dialed == nil {
		protocols.dialed = make(map[string]func(string) (Dialer, error))
	}
	protocols.dialed[name] = dialer
}

// DialerByName returns the function that was registered by this name. It makes a
// Dialer of an address.
func DialerByName(name string) (dialer func(target string) (Dialer, error), ok bool) {
	protocols.mu.RLock()
	defer protocols.mu.RUnlock()
	dialer, ok = protocols.dialed[name]
	return dialer, ok
}
