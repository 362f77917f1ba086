package tunnel

import (
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// Config says how an end of a session behaves. The zero value is good for
// production; every field says what zero means. A Config is not changed by the
// session and must not be changed while one uses it.
type Config struct {
	// Remote is the other end, as PeerFromContext shows it to handlers and as
	// errors name it.
	Remote Peer

	// Peer is the other end as gRPC's peer package shows it to handlers and to
	// the grpc.Peer call option. If nil, its address is that of Remote.
	Peer *peer.Peer

	// Services are what this end serves. If nil, it serves no calls: a call that
	// the peer begins is answered with UNIMPLEMENTED.
	Services *Services

	// UnaryInterceptor and StreamInterceptor wrap the handlers of Services.
	// If nil, nothing does.
	UnaryInterceptor  grpc.UnaryServerInterceptor
	StreamInterceptor grpc.StreamServerInterceptor

	// StatsHandlers see the calls at this end, made and served.
	StatsHandlers []stats.Handler

	// Workers run the handlers. If nil, each call gets a goroutine of its own.
	Workers *Workers

	// MaxCalls is how many calls of the peer are served at a time. A call above
	// it is refused with RESOURCE_EXHAUSTED. If zero, 1024.
	MaxCalls int

	// CallWindow is how many bytes of messages the peer may have under way and
	// unread on each call, at first: the memory that a call has a right to. If
	// zero, 64 KiB.
	CallWindow int64

	// MaxCallWindow is how far that may grow when the reader of a call keeps up
	// with its sender. If zero, 4 MiB.
	MaxCallWindow int64

	// MaxBuffered is how many bytes the calls of a session may hold all together
	// beyond their CallWindow: windows that have grown, and messages larger than
	// a window that are not complete. So a session holds at most
	// MaxCalls × 2 × CallWindow + MaxBuffered bytes of messages that nobody has
	// taken. Windows stop growing when it is used up; a message that finds no
	// room fails its call with RESOURCE_EXHAUSTED. If zero, 64 MiB.
	MaxBuffered int64

	// MaxQueued is how many bytes of messages may wait to be sent on a session,
	// for the peer to take them. A message counts as its size and 512 bytes. A call
	// of this end that finds no room fails with RESOURCE_EXHAUSTED, unless nothing
	// else waits; answers of handlers are not concerned. If zero, 64 MiB.
	MaxQueued int64

	// Memory is what the session shares with others: it counts what MaxBuffered
	// and MaxQueued count, and keeps a half for sessions that hold little. If nil,
	// the session shares none.
	Memory *Budget

	// MaxOutgoingCalls is how many calls of this end may be under way at a time,
	// if the peer takes so many. A call above it fails with RESOURCE_EXHAUSTED. If
	// zero, 10,000.
	MaxOutgoingCalls int

	// MaxMetadata is how many bytes of metadata a call may carry in either
	// direction. A pair counts as its key, its value and 32 bytes. If zero,
	// 64 KiB; at most 256 KiB.
	MaxMetadata int

	// MaxRecvMsgSize is the largest message in bytes that is received, after
	// decompression too. A larger one fails its call with RESOURCE_EXHAUSTED. If
	// zero, 4 MiB, as in gRPC.
	MaxRecvMsgSize int

	// MaxSendMsgSize is the largest message in bytes that a handler sends. If
	// zero, there is no limit but 2 GiB.
	MaxSendMsgSize int

	// Heartbeat is the heartbeat interval. The end that accepts decides; the
	// other end's value is ignored. If zero, 15 s. If negative, there are no
	// heartbeats.
	Heartbeat time.Duration

	// HandshakeTimeout is how long an end waits for the other's hello. If zero,
	// 10 s.
	HandshakeTimeout time.Duration

	// PreviousSession and PreviousLost are told to the peer by the end that
	// dials. See Hello in proto/pushtunnel.proto.
	PreviousSession string
	PreviousLost    bool

	// FailFast says that the end that dials has a session still, and waits to leave it:
	// a Dialer fails at once if no server can be reached, rather than wait for one.
	FailFast bool

	// OnEnd is called when the session has ended, before its calls are. It must
	// not block. If nil, nothing is called.
	OnEnd func()

	// OnGoAway is called when the peer asks this end to move or to begin no more
	// calls. It must not block. If nil, nothing is called.
	OnGoAway func(GoAway)
}

// GoAway is what a peer says when it wants to part.
type GoAway struct {
	// Reason is for people.
	Reason string
	// ReconnectAfter is how long to wait before connecting again.
	ReconnectAfter time.Duration
}

const (
	defaultMaxCalls         = 1024
	defaultCallWindow       = 64 << 10
	defaultMaxCallWindow    = 4 << 20
	defaultMaxBuffered      = 64 << 20
	defaultMaxQueued        = 64 << 20
	defaultMaxOutgoingCalls = 10_000
	defaultMaxMetadata      = 64 << 10
	defaultMaxRecvMsgSize   = 4 << 20
	defaultHeartbeat        = 15 * time.Second
	defaultHandshakeTimeout = 10 * time.Second
)

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// WithDefaults returns the configuration with its zero fields filled in and its
// limits within the protocol's: what a session goes by. Services takes no more
// registrations from now on.
func (c Config) WithDefaults() Config {
	c.Services.freeze()
	c.MaxCalls = max(or(c.MaxCalls, defaultMaxCalls), 0)
	if c.Services == nil {
		c.MaxCalls = 0
	}
	c.CallWindow = max(or(c.CallWindow, defaultCallWindow), wire.MinCallWindow)
	c.MaxCallWindow = max(or(c.MaxCallWindow, defaultMaxCallWindow), c.CallWindow)
	c.MaxBuffered = max(or(c.MaxBuffered, defaultMaxBuffered), 0)
	c.MaxQueued = max(or(c.MaxQueued, defaultMaxQueued), 0)
	c.MaxOutgoingCalls = max(or(c.MaxOutgoingCalls, defaultMaxOutgoingCalls), 0)
	c.MaxMetadata = min(max(or(c.MaxMetadata, defaultMaxMetadata), 0), wire.MaxMetadata)
	c.MaxRecvMsgSize = max(or(c.MaxRecvMsgSize, defaultMaxRecvMsgSize), 0)
	c.MaxSendMsgSize = max(or(c.MaxSendMsgSize, math.MaxInt32), 0)
	c.Heartbeat = max(or(c.Heartbeat, defaultHeartbeat), 0)
	c.HandshakeTimeout = or(c.HandshakeTimeout, defaultHandshakeTimeout)
	if c.Peer == nil {
		c.Peer = &peer.Peer{Addr: c.Remote.Addr}
	}
	if c.Peer.Addr == nil {
		p := *c.Peer
		p.Addr = noAddr{}
		c.Peer = &p
	}
	return c
}

// noAddr is the address of a peer that has none. Handlers and interceptors expect
// that there is an address, as in gRPC.
type noAddr struct{}

func (noAddr) Network() string { return "unknown" }
func (noAddr) String() string  { return "unknown" }
