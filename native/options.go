package native

import (
	"context"
	"log/slog"
	"net"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/internal/chain"
)

// Option sets up a Protocol or a Dialer. Those of one end mean nothing at the
// other; each says whose it is.
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

type options struct {
	// Of both ends.
	name         string
	head         HeadCodec
	maxBody      int
	maxStranger  int
	frameTimeout time.Duration
	timeout      time.Duration
	pushes       []*grpc.ServiceDesc
	unknown      UnknownHandler
	errors       ErrorPolicy
	logger       *slog.Logger
	failures     *rate.Limiter // of the log

	// The server's.
	services      *Services
	unaries       []grpc.UnaryServerInterceptor
	unary         grpc.UnaryServerInterceptor // of all unaries; nil if there are none
	grace         time.Duration
	fresh         time.Duration
	maxUnanswered int
	maxConns      int
	idle          time.Duration
	tellRegister  bool
	callRate      float64
	callBurst     int

	// The client's.
	conns        int
	dial         func(ctx context.Context, addr string) (net.Conn, error)
	registration Registration
	registerWait time.Duration
	keepAlive    time.Duration
	answerWithin time.Duration
}

func newOptions(opts []Option) *options {
	o := &options{
		name:         "native",
		head:         BRPC,
		maxBody:      64 << 20,
		maxStranger:  4 << 20,
		frameTimeout: time.Minute,
		timeout:      10 * time.Second,
		logger:       slog.New(slog.DiscardHandler),
		failures:     rate.NewLimiter(10, 100),

		grace:         time.Second,
		fresh:         50 * time.Millisecond,
		maxUnanswered: 2,
		maxConns:      64,
		idle:          10 * time.Minute,
		callRate:      10_000,
		callBurst:     10_000,

		conns: 1,
		dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
		registration: Acknowledged,
		registerWait: 3 * time.Second,
		answerWithin: 10 * time.Second,
	}
	for _, opt := range opts {
		opt.apply(o)
	}
	o.unary = chain.UnaryServer(o.unaries)
	return o
}

// WithPushes declares services whose methods are called at the peer: at the
// server, those that it pushes to native clients; at a Dialer, those of the Java
// server. How their methods and messages look in Java is said by options in
// their .proto files; see docs/NATIVE.md. A call of a service that is not
// declared fails with UNIMPLEMENTED. Protocol and Dialer panic if a service cannot
// be mapped, with an error that names the field and the cure; Check returns it.
func WithPushes(services ...*grpc.ServiceDesc) Option {
	return optionFunc(func(o *options) { o.pushes = append(o.pushes, services...) })
}

// WithCalls is WithPushes by the name that fits a Dialer: the services of the Java
// server.
func WithCalls(services ...*grpc.ServiceDesc) Option { return WithPushes(services...) }

// WithHeadCodec sets the layout of the frames' heads. The default is BRPC.
func WithHeadCodec(c HeadCodec) Option { return optionFunc(func(o *options) { o.head = c }) }

// WithName sets the name of the protocol, as logs and tunnel.Peer show it. The
// default is "native". A program with several variants names them apart.
func WithName(name string) Option { return optionFunc(func(o *options) { o.name = name }) }

// WithMaxBody sets the largest body in bytes that is read. A larger one ends the
// connection. The default is 64 MiB; Java peers take 512 MiB. What a stub
// receives is bounded by server.WithMaxRecvMsgSize and its like as well.
func WithMaxBody(n int) Option { return optionFunc(func(o *options) { o.maxBody = n }) }

// WithMaxAnonymousBody is WithMaxBody for connections that have not registered a name.
// The default is 4 MiB. Server only.
func WithMaxAnonymousBody(n int) Option { return optionFunc(func(o *options) { o.maxStranger = n }) }

// WithFrameTimeout sets how long a peer may take to send the rest of a frame that
// it has begun: for each 128 KiB of it, or for all if it has not registered a name.
// The default is 1 minute; 0 is for ever.
func WithFrameTimeout(d time.Duration) Option {
	return optionFunc(func(o *options) { o.frameTimeout = d })
}

// WithTimeout sets how long a call waits for its answer if its context has no
// deadline. It then fails with DEADLINE_EXCEEDED: Java peers do not tell errors,
// they are silent. The default is 10 s, as in brpc-java; 0 is for ever.
func WithTimeout(d time.Duration) Option { return optionFunc(func(o *options) { o.timeout = d }) }

// UnknownHandler handles calls of methods that no registered service has: service
// and method are the names on the wire, args and the result are values of package
// java. The result must not be nil, since null has no encoding: return true for
// void. An error is handled as the ErrorPolicy says.
type UnknownHandler func(ctx context.Context, service, method string, args []any) (any, error)

// WithUnknownHandler sets a handler for methods that no registered service has. It
// is called through the unary interceptors, with a []any as the request. The
// default is none: such calls fail.
func WithUnknownHandler(h UnknownHandler) Option {
	return optionFunc(func(o *options) { o.unknown = h })
}

// ErrorPolicy says what a caller is sent when its call has failed: the protocol
// has no errors.
type ErrorPolicy uint8

const (
	// Silence sends nothing, as brpc-java does. The caller times out. A Java caller
	// then tries again, three times in all by default. It is the default.
	Silence ErrorPolicy = iota
	// CloseConnection closes the connection. All calls on it fail at once. A Java
	// caller then tries again.
	CloseConnection
	// WrongType answers with a value of a type that the method does not have: a
	// String with the error's text, or a Boolean where the method has a String. A
	// synchronous Java caller gets a ClassCastException at once and does not try
	// again. Do not use it if Java programs call asynchronously: it costs them a
	// worker thread. A method whose result may be any object is not answered.
	WrongType
)

// WithErrorPolicy sets what callers are sent when their calls have failed. The
// default is Silence.
func WithErrorPolicy(p ErrorPolicy) Option { return optionFunc(func(o *options) { o.errors = p }) }

// WithLogger sets where is logged what the protocol cannot tell the peer: calls
// that fail at WARN, 10 a second at most, late or broken frames at DEBUG. The default
// is nowhere.
func WithLogger(l *slog.Logger) Option { return optionFunc(func(o *options) { o.logger = l }) }

// WithServices sets the services that native clients may call. Server only. The
// default is none.
func WithServices(s *Services) Option { return optionFunc(func(o *options) { o.services = s }) }

// WithUnaryInterceptors adds interceptors around the handlers of WithServices, the
// first one outermost. Give it those that your grpc.Server has. Server only: a
// client has client.WithUnaryInterceptors.
func WithUnaryInterceptors(i ...grpc.UnaryServerInterceptor) Option {
	return optionFunc(func(o *options) { o.unaries = append(o.unaries, i...) })
}

// WithGrace sets when a Java client is ready for pushes: grace after its first
// registration, or when it has made a call; and not before fresh after the
// connection was made. A push that comes before costs a Java client a worker
// thread, since brpc-java registers the name first and the push service later. The
// client is connected, for hooks and picks, only then. Clients that ask for an
// acknowledgement, as those of this package do, are ready at once. The defaults
// are 1 s and 50 ms. Server only.
func WithGrace(grace, fresh time.Duration) Option {
	return optionFunc(func(o *options) { o.grace, o.fresh = grace, fresh })
}

// WithMaxUnanswered sets how many pushes of a method that a Java client has never
// answered may time out before the method is no longer pushed to it: each may have
// cost it a worker thread. Until the first answer they go one at a time. A call
// then fails with UNAVAILABLE, not sent. A late answer lifts it, and so does a new
// session. The default is 2; 0 means no limit. Methods that are declared one_way
// are not concerned. Server only.
func WithMaxUnanswered(n int) Option { return optionFunc(func(o *options) { o.maxUnanswered = n }) }

// WithMaxConnsPerClient sets how many connections one client may have. One more
// closes the one that has been silent for the longest. The default is 64; a Java
// client has 8 unless it is set up otherwise. Server only.
func WithMaxConnsPerClient(n int) Option { return optionFunc(func(o *options) { o.maxConns = n }) }

// WithCallRate sets how many calls a connection may make in a second, and how many
// at once. One more fails as the ErrorPolicy says. The defaults are 10,000 and
// 10,000; a rate of 0 is no limit. Server only.
func WithCallRate(perSecond float64, burst int) Option {
	return optionFunc(func(o *options) { o.callRate, o.callBurst = perSecond, burst })
}

// WithIdleTimeout sets how long a connection without a client's name may be
// silent. Connections that are registered are never closed for silence: a Java
// client may take minutes to come back. The default is 10 minutes; 0 is for ever.
// Server only.
func WithIdleTimeout(d time.Duration) Option { return optionFunc(func(o *options) { o.idle = d }) }

// WithRegisterResponse answers registrations with an empty frame of type 5. No Java
// server does that; it lets Java clients free a slot of their table of calls, and
// makes them log a warning. Server only.
func WithRegisterResponse() Option { return optionFunc(func(o *options) { o.tellRegister = true }) }

// WithConns sets how many connections a Dialer opens for a session; each is
// registered. The default is 1, which is enough. Client only.
func WithConns(n int) Option { return optionFunc(func(o *options) { o.conns = max(n, 1) }) }

// WithDialFunc sets how a Dialer connects, for instance through TLS. The default
// is TCP. Client only.
func WithDialFunc(dial func(ctx context.Context, addr string) (net.Conn, error)) Option {
	return optionFunc(func(o *options) { o.dial = dial })
}

// Registration says how a client tells its name.
type Registration uint8

const (
	// Acknowledged registers with a call that is answered, by Java servers too. If
	// there is no answer in time the client registers as OneWay does. It is the
	// default.
	Acknowledged Registration = iota
	// OneWay registers as Java clients do. Nobody knows when it takes effect.
	OneWay
)

// WithRegistration sets how the client tells its name, and how long it waits for
// the acknowledgement. The default is Acknowledged, and 3 s. Client only.
func WithRegistration(r Registration, wait time.Duration) Option {
	return optionFunc(func(o *options) { o.registration, o.registerWait = r, wait })
}

// WithKeepAlive sends a frame that means nothing at this interval, so that a Java
// server, which closes connections that are silent for 60 s, does not. The Java
// server logs a warning each time. The default is 0: none is sent, and the client
// connects again when the server has closed. Client only.
func WithKeepAlive(interval time.Duration) Option {
	return optionFunc(func(o *options) { o.keepAlive = interval })
}

// WithAnswerWithin sets how long a handler of a push may run: its context ends
// then, and its answer is not sent. A Java server gives up after 10 s, and an
// answer after that costs it memory. The default is 10 s; 0 is for ever. Client
// only.
func WithAnswerWithin(d time.Duration) Option {
	return optionFunc(func(o *options) { o.answerWithin = d })
}
