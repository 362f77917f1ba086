package client

import (
	"log/slog"
	"maps"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"github.com/pushtunnel/pushtunnel/internal/chain"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Option sets up a Client.
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

type options struct {
	tunnel         tunnel.Config
	backoff        backoff.Config
	hooks          []Hooks
	logger         *slog.Logger
	metadata       metadata.MD
	claim          tunnel.Claim
	callOptions    []grpc.CallOption
	direct         *directDialer // nil: gRPC streams only
	connectTimeout time.Duration
	unaries        []grpc.UnaryServerInterceptor
	streams        []grpc.StreamServerInterceptor
	unknown        grpc.StreamHandler
}

func defaults() options {
	return options{
		backoff:        backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, MaxDelay: 30 * time.Second},
		logger:         slog.New(slog.DiscardHandler),
		connectTimeout: 20 * time.Second,
	}
}

// chain makes one interceptor of each list.
func (o *options) chain() {
	o.tunnel.UnaryInterceptor = chain.UnaryServer(o.unaries)
	o.tunnel.StreamInterceptor = chain.StreamServer(o.streams)
}

// WithOptions makes one Option of several, for packages that have some to give.
func WithOptions(opts ...Option) Option {
	return optionFunc(func(o *options) {
		for _, opt := range opts {
			opt.apply(o)
		}
	})
}

// WithUnaryInterceptors adds interceptors around unary handlers, the first one
// outermost: server interceptors, since the client is the end that serves.
func WithUnaryInterceptors(i ...grpc.UnaryServerInterceptor) Option {
	return optionFunc(func(o *options) { o.unaries = append(o.unaries, i...) })
}

// WithStreamInterceptors adds interceptors around streaming handlers, the first
// one outermost.
func WithStreamInterceptors(i ...grpc.StreamServerInterceptor) Option {
	return optionFunc(func(o *options) { o.streams = append(o.streams, i...) })
}

// WithUnknownServiceHandler sets the handler of calls whose method is not
// registered, as grpc.UnknownServiceHandler does at a grpc.Server: it gets all of
// them as streams, unary ones too, and grpc.MethodFromServerStream tells the method.
// A message that knows no fields, as emptypb.Empty, keeps what it receives as
// unknown fields. The default is none: such calls get UNIMPLEMENTED. Calls of native
// servers do not come to it.
func WithUnknownServiceHandler(h grpc.StreamHandler) Option {
	return optionFunc(func(o *options) { o.unknown = h })
}

// WithStatsHandlers adds handlers that see the calls that are served, as the
// stats handlers of a grpc.Server do.
func WithStatsHandlers(h ...stats.Handler) Option {
	return optionFunc(func(o *options) { o.tunnel.StatsHandlers = append(o.tunnel.StatsHandlers, h...) })
}

// WithBackoff sets how long the client waits before it connects again: a random
// time between 0 and BaseDelay × Multiplier^n, MaxDelay at most, after n
// failures in a row. Jitter is not used: all of the time is random. The default
// is 1 s, 1.6 and 30 s. A server's own word on when to come back goes first.
func WithBackoff(c backoff.Config) Option { return optionFunc(func(o *options) { o.backoff = c }) }

// WithConnectTimeout sets how long one attempt to connect may take, with the
// network connection. The default is 20 s.
func WithConnectTimeout(d time.Duration) Option {
	return optionFunc(func(o *options) { o.connectTimeout = d })
}

// WithMetadata adds metadata to the stream that carries the session, for the
// server's interceptors.
func WithMetadata(md metadata.MD) Option {
	return optionFunc(func(o *options) { o.metadata = metadata.Join(o.metadata, md) })
}

// WithNamespace sets the namespace that the client asks for. It gets the one that
// the server's identity function decides on. The default is the default one, which
// is empty. Native servers have none.
func WithNamespace(namespace string) Option {
	return optionFunc(func(o *options) { o.claim.Namespace = namespace })
}

// WithLabels adds labels that the client says it has. The server decides which of
// them count. Serve checks them: see tunnel.CheckLabels. The default is none; native
// servers know none.
func WithLabels(labels map[string]string) Option {
	return optionFunc(func(o *options) {
		all := make(map[string]string, len(o.claim.Labels)+len(labels))
		maps.Copy(all, o.claim.Labels)
		maps.Copy(all, labels)
		o.claim.Labels = all
	})
}

// WithCallOptions adds options to the call that opens the stream, for instance
// grpc.PerRPCCredentials.
func WithCallOptions(opts ...grpc.CallOption) Option {
	return optionFunc(func(o *options) { o.callOptions = append(o.callOptions, opts...) })
}

// Hooks are called when the client's state changes. They must not block. Those
// of two sessions may be called at the same time, when one takes the place of
// the other. Nil hooks are not called.
type Hooks struct {
	// Connected is called when a session is open.
	Connected func(tunnel.Peer)
	// Disconnected is called when it has ended. err is nil if that was in order.
	Disconnected func(p tunnel.Peer, err error)
	// Retry is called when the client waits for so long before it connects
	// again, because of err.
	Retry func(err error, after time.Duration)
}

// WithHooks adds hooks. The default is none.
func WithHooks(h Hooks) Option { return optionFunc(func(o *options) { o.hooks = append(o.hooks, h) }) }

// WithLogger sets where changes of the client's state are logged: INFO when it
// connects and disconnects, WARN when it has to wait. The default is nowhere.
func WithLogger(l *slog.Logger) Option { return optionFunc(func(o *options) { o.logger = l }) }

// WithWorkers sets the goroutines that run the handlers, so that many Clients of
// a process can share them. They are not closed by the Client. The default is
// Workers of the Client's own.
func WithWorkers(w *tunnel.Workers) Option {
	return optionFunc(func(o *options) { o.tunnel.Workers = w })
}

// WithMaxConcurrentCalls sets how many calls are served at a time. More are
// refused with RESOURCE_EXHAUSTED. The default is 1024.
func WithMaxConcurrentCalls(n int) Option {
	return optionFunc(func(o *options) { o.tunnel.MaxCalls = n })
}

// WithMaxRecvMsgSize sets the largest message in bytes that handlers receive. The
// default is 4 MiB.
func WithMaxRecvMsgSize(n int) Option {
	return optionFunc(func(o *options) { o.tunnel.MaxRecvMsgSize = n })
}

// WithMaxSendMsgSize sets the largest message in bytes that handlers send. The
// default is 2 GiB.
func WithMaxSendMsgSize(n int) Option {
	return optionFunc(func(o *options) { o.tunnel.MaxSendMsgSize = n })
}

// WithMaxMetadata sets how many bytes of metadata a call may have; each pair
// counts as its key, its value and 32 bytes. The default is 64 KiB; the most is
// 256 KiB.
func WithMaxMetadata(n int) Option {
	return optionFunc(func(o *options) { o.tunnel.MaxMetadata = n })
}

// WithCallWindow sets how many bytes the server may send on a call before they
// are read: at first, and at most, when the handler keeps up. The defaults are 64
// KiB and 4 MiB. 0 leaves a default.
func WithCallWindow(initial, most int64) Option {
	return optionFunc(func(o *options) { o.tunnel.CallWindow, o.tunnel.MaxCallWindow = initial, most })
}

// WithMaxBuffered sets how many bytes the calls may hold together beyond their
// initial windows. See tunnel.Config.MaxBuffered. The default is 64 MiB.
func WithMaxBuffered(n int64) Option {
	return optionFunc(func(o *options) { o.tunnel.MaxBuffered = n })
}
