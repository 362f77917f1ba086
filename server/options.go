package server

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/pushtunnel/pushtunnel/internal/chain"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Option sets up a Server.
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

type options struct {
	tunnel         tunnel.Config
	picker         Picker
	duplicates     Duplicates
	hooks          []Hooks
	logger         *slog.Logger
	reconnectAfter time.Duration
	unaries        []grpc.UnaryClientInterceptor
	streams        []grpc.StreamClientInterceptor
	unary          grpc.UnaryClientInterceptor  // of all unaries; nil if there are none
	stream         grpc.StreamClientInterceptor // of all streams; nil if there are none
	connects       []grpc.StreamServerInterceptor
	connect        grpc.StreamServerInterceptor // of all connects; nil if there are none
	identity       IdentityFunc                 // nil: TrustClaims, which nobody has asked for
	backlog        int                          // of the changes that are kept for watchers
	limits
}

func defaults() options {
	o := options{picker: RoundRobin, logger: slog.New(slog.DiscardHandler), backlog: defaultBacklog, limits: defaultLimits}
	o.tunnel.Memory = tunnel.NewBudget(defaultMemory)
	return o
}

// watched reports whether anybody may ask whom a call is for.
func (o *options) watched() bool {
	return o.unary != nil || o.stream != nil || len(o.tunnel.StatsHandlers) > 0
}

// chain makes one interceptor of each list.
func (o *options) chain() {
	o.connect = chain.StreamServer(o.connects)
	for i := len(o.unaries) - 1; i >= 0; i-- {
		outer, inner := o.unaries[i], o.unary
		if inner == nil {
			o.unary = outer
			continue
		}
		o.unary = func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			next := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
				return inner(ctx, method, req, reply, cc, invoke, opts...)
			}
			return outer(ctx, method, req, reply, cc, next, opts...)
		}
	}
	for i := len(o.streams) - 1; i >= 0; i-- {
		outer, inner := o.streams[i], o.stream
		if inner == nil {
			o.stream = outer
			continue
		}
		o.stream = func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			next := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				return inner(ctx, desc, cc, method, stream, opts...)
			}
			return outer(ctx, desc, cc, method, next, opts...)
		}
	}
}

// WithOptions makes one Option of several, for packages that have some to give.
func WithOptions(opts ...Option) Option {
	return optionFunc(func(o *options) {
		for _, opt := range opts {
			opt.apply(o)
		}
	})
}

// WithPicker sets how a call's session is chosen among those of its name. The
// default is RoundRobin.
func WithPicker(p Picker) Option { return optionFunc(func(o *options) { o.picker = p }) }

// Duplicates says what happens when a client comes whose name has a session. A
// client that comes back is never in its own way.
type Duplicates uint8

const (
	// AllowDuplicates lets a name have any number of sessions. It is the default.
	AllowDuplicates Duplicates = iota
	// ReplaceDuplicates ends the sessions that are there, with ABORTED. Their
	// clients do not come back by themselves.
	ReplaceDuplicates
	// RefuseDuplicates refuses the new session, with ALREADY_EXISTS. Its client
	// does not try again by itself.
	RefuseDuplicates
)

// WithDuplicates sets what happens when a client comes whose name has a
// session. The default is AllowDuplicates.
func WithDuplicates(d Duplicates) Option { return optionFunc(func(o *options) { o.duplicates = d }) }

// Hooks are called when sessions come and go. Connected and Disconnected of one session are called
// one after the other, on a goroutine of that session: they may block, and may
// call the client. Nil hooks are not called.
type Hooks struct {
	// Created is called by New, with the server that it is about to return.
	Created func(*Server)
	// Connected is called when a session takes calls.
	Connected func(*Session)
	// Disconnected is called when a session has ended. reason is nil if it ended
	// in order, and a status error otherwise.
	Disconnected func(s *Session, reason error)
	// Refused is called when a client, or a connection that has not said whose it
	// is, is not let in. It must not block: it may be called by the goroutine that
	// accepts connections. reason is what the client is told, as far as it can be;
	// tunnel.LimitOf tells whether it is a limit.
	Refused func(c Candidate, reason error)
}

// WithHooks adds hooks. The default is none.
func WithHooks(h Hooks) Option { return optionFunc(func(o *options) { o.hooks = append(o.hooks, h) }) }

// WithUnaryInterceptors adds interceptors of unary calls to clients, the first
// one outermost. They get a nil *grpc.ClientConn, since a tunnel has none; those
// that only pass it on work unchanged, among them all of go-grpc-middleware.
func WithUnaryInterceptors(i ...grpc.UnaryClientInterceptor) Option {
	return optionFunc(func(o *options) { o.unaries = append(o.unaries, i...) })
}

// WithStreamInterceptors adds interceptors of streaming calls to clients, the
// first one outermost. They get a nil *grpc.ClientConn.
func WithStreamInterceptors(i ...grpc.StreamClientInterceptor) Option {
	return optionFunc(func(o *options) { o.streams = append(o.streams, i...) })
}

// WithConnectInterceptors adds interceptors around the life of each session that
// comes over the direct transport, the first one outermost. They are what the gRPC
// server's stream interceptors are to sessions that come as gRPC streams: they see
// tunnel.ConnectMethod, the client's metadata and its peer, and may refuse it. They
// see no messages, and what they set as header or trailer is dropped. The default
// is none: then everybody who can connect may have any name.
func WithConnectInterceptors(i ...grpc.StreamServerInterceptor) Option {
	return optionFunc(func(o *options) { o.connects = append(o.connects, i...) })
}

// WithStatsHandlers adds handlers that see the calls to clients, of all protocols,
// as the stats handlers of a grpc.ClientConn do. TargetFromContext tells them whom a
// call is for.
func WithStatsHandlers(h ...stats.Handler) Option {
	return optionFunc(func(o *options) { o.tunnel.StatsHandlers = append(o.tunnel.StatsHandlers, h...) })
}

// WithLogger sets where sessions that come and go are logged, at level INFO, and
// raw connections that end with an error, at level DEBUG. The default is nowhere.
func WithLogger(l *slog.Logger) Option { return optionFunc(func(o *options) { o.logger = l }) }

// WithHeartbeat sets the interval of heartbeats: a client that has not been
// heard of for two intervals is given up. The default is 15 s; a negative
// interval means no heartbeats.
func WithHeartbeat(interval time.Duration) Option {
	return optionFunc(func(o *options) { o.tunnel.Heartbeat = interval })
}

// WithHandshakeTimeout sets how long a raw connection may take for TLS and the first
// bytes, and then a client to say hello. The default is 10 s.
func WithHandshakeTimeout(d time.Duration) Option {
	return optionFunc(func(o *options) { o.tunnel.HandshakeTimeout = d })
}

// WithReconnectAfter sets how long clients wait before they connect again when
// the server asks them to go. Each adds a random time of up to as much. The
// default is 0: they come back as their own backoff says.
func WithReconnectAfter(d time.Duration) Option {
	return optionFunc(func(o *options) { o.reconnectAfter = d })
}

// WithMaxRecvMsgSize sets the largest message in bytes that is received from a
// client, unless a call says otherwise. The default is 4 MiB.
func WithMaxRecvMsgSize(n int) Option {
	return optionFunc(func(o *options) { o.tunnel.MaxRecvMsgSize = n })
}

// WithMaxMetadata sets how many bytes of metadata a client's answer may have, and
// what it says when it connects with the direct transport; each pair counts as its key, its value and 32 bytes. The default is 64 KiB; the
// most is 256 KiB.
func WithMaxMetadata(n int) Option {
	return optionFunc(func(o *options) { o.tunnel.MaxMetadata = n })
}

// WithCallWindow sets how many bytes a client may send on a call before they are
// read: at first, and at most, when the reader keeps up. The defaults are 64 KiB
// and 4 MiB. 0 leaves a default.
func WithCallWindow(initial, most int64) Option {
	return optionFunc(func(o *options) { o.tunnel.CallWindow, o.tunnel.MaxCallWindow = initial, most })
}

// WithMaxBuffered sets how many bytes the calls of a session may hold together
// beyond their initial windows. See tunnel.Config.MaxBuffered. The default is 64
// MiB.
func WithMaxBuffered(n int64) Option {
	return optionFunc(func(o *options) { o.tunnel.MaxBuffered = n })
}

const (
	levelInfo  = slog.LevelInfo
	levelDebug = slog.LevelDebug
)
