package gateway

import (
	"context"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Request is a call that somebody asks the gateway to forward.
type Request struct {
	// Namespace is the client's. The default one is empty.
	Namespace string
	// Client is the client's name. It is empty if the caller names none: then the
	// call may go to any client of the namespace that the rest allows. Who decides
	// by names must refuse that.
	Client string
	// Session is the id of the one session that the caller asks for; empty if any
	// will do.
	Session string
	// Selector is what the session's labels must meet. The zero value means that
	// the caller asks for no labels.
	Selector server.Selector
	// Method is the full name of the method, "/package.Service/Method". It is the
	// caller's to choose, and need not exist.
	Method string
}

// Authorizer decides whether a call may be made. It returns nil if so. Who calls is
// in ctx, which is the call's: peer.FromContext, metadata.FromIncomingContext, and
// what the gRPC server's stream interceptors have added. An error that is a gRPC
// status is returned to the caller as that; any other becomes PERMISSION_DENIED with
// the error as its reason. Nothing is looked up before, so that who may not push to
// a client does not learn whether it is connected. An Authorizer is called by many
// goroutines at a time.
type Authorizer func(ctx context.Context, r Request) error

// Gateway forwards calls to the clients of a server. All methods may be called by
// any goroutine.
type Gateway struct {
	push      *server.Server
	authorize Authorizer
	opts      options
	own       map[string]bool // services whose calls are not forwarded; does not change once calls come
	picks     atomic.Uint64   // of sessions by their labels
}

// New returns a gateway to the clients of push. authorize must not be nil: a gateway
// that is open to everybody lets everybody command the clients.
func New(push *server.Server, authorize Authorizer, opts ...Option) *Gateway {
	if authorize == nil {
		panic("pushtunnel: gateway.New needs an authorizer: without one everybody could push to every client") //nolint:forbidigo // a mistake in the program
	}
	g := &Gateway{push: push, authorize: authorize, opts: defaults(), own: make(map[string]bool)}
	for _, o := range opts {
		o.apply(&g.opts)
	}
	return g
}

// ServerOptions returns what a grpc.Server needs to be a gateway: Handle for methods
// that it does not have itself, the interceptors for those that it has, and Codec.
//
// Give them last, behind the options with the server's own interceptors: those then
// run first, for forwarded calls too, and what they have put in the context is there
// for the authorizer. To stream interceptors a forwarded call is a stream in both
// directions, whatever it is to the caller; unary interceptors see it only if the
// server has a unary method of this name.
func (g *Gateway) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnknownServiceHandler(g.Handle),
		grpc.ChainStreamInterceptor(g.StreamInterceptor()),
		grpc.ChainUnaryInterceptor(g.UnaryInterceptor()),
		grpc.ForceServerCodecV2(Codec()),
	}
}

// Handle forwards a call. It is a grpc.StreamHandler, for grpc.UnknownServiceHandler.
// A call that names no client gets UNIMPLEMENTED, as from a server without a gateway.
func (g *Gateway) Handle(_ any, caller grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(caller)
	if !addressed(caller.Context()) {
		return status.Errorf(codes.Unimplemented, "unknown method %s; to push to a client, name it in the metadata key %q", method, ClientKey)
	}
	return g.forward(caller, method)
}

// StreamInterceptor returns an interceptor that forwards calls of streaming methods
// which the server has itself, if they name a client: the key wins. Clients have
// services that servers have, too, such as reflection.
func (g *Gateway) StreamInterceptor() grpc.StreamServerInterceptor {
	return func(srv any, caller grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		switch {
		case info.FullMethod == tunnel.ConnectMethod || !addressed(caller.Context()):
			return next(srv, caller)
		case g.keeps(info.FullMethod):
			err := next(srv, caller)
			caller.SetTrailer(withOutcome(nil, err))
			return err
		}
		return g.forward(caller, info.FullMethod)
	}
}

// UnaryInterceptor does the same for unary methods. gRPC has decoded the request
// before; fields that the server does not know go along.
func (g *Gateway) UnaryInterceptor() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		switch {
		case !addressed(ctx):
			return next(ctx, req)
		case g.keeps(info.FullMethod):
			reply, err := next(ctx, req)
			if trailer := withOutcome(nil, err); trailer != nil {
				grpc.SetTrailer(ctx, trailer) //nolint:errcheck // the call's own end says more
			}
			return reply, err
		}
		return g.invoke(ctx, info.FullMethod, req)
	}
}

// admit reads where a call is to go, and asks whether it may.
func (g *Gateway) admit(ctx context.Context, method string) (route, metadata.MD, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	r, err := parseRoute(md, method)
	if err != nil {
		return route{}, nil, notSent(codes.InvalidArgument, err.Error(), nil)
	}
	if err := g.authorize(ctx, r.Request); err != nil {
		if st, ok := status.FromError(err); ok && st.Code() != codes.OK {
			return route{}, nil, tunnel.NewError(st, tunnel.OutcomeNotSent, err)
		}
		return route{}, nil, notSent(codes.PermissionDenied, fmt.Sprintf("pushtunnel: %s may not be called: %v", method, err), err)
	}
	return r, g.opts.forwarded(md), nil
}

func notSent(code codes.Code, text string, cause error) error {
	return tunnel.NewError(status.New(code, text), tunnel.OutcomeNotSent, cause)
}
