package interceptors

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Policy decides whether a push may be made: of a method, "/package.Service/Method",
// to a client. It returns nil if so. Who asks is in ctx: a push that is made while a
// call is served, with that call's context, has its peer.FromContext and
// metadata.FromIncomingContext, and whatever its interceptors have added. The push's
// session is not chosen yet, unless it was made on a session. A Policy is called by
// many goroutines at a time.
type Policy func(ctx context.Context, target *tunnel.Target, method string) error

// Authorize makes only the pushes that allow lets through. All others fail with
// PERMISSION_DENIED and allow's error as the reason; they are not sent. An error of
// allow that is a gRPC status itself, UNAVAILABLE for instance, is returned as that
// status. Calls that are not through a tunnel have no target and are refused.
func Authorize(allow Policy) Caller {
	check := func(ctx context.Context, method string) error {
		target, ok := tunnel.TargetFromContext(ctx)
		if !ok {
			return refused(status.New(codes.PermissionDenied, "pushtunnel: a call that is not through a tunnel cannot be authorized"), nil)
		}
		err := allow(ctx, target, method)
		if err == nil {
			return nil
		}
		if st, ok := status.FromError(err); ok && st.Code() != codes.OK {
			return refused(st, err)
		}
		return refused(status.Newf(codes.PermissionDenied, "pushtunnel: %s may not be called at %s: %v", method, clientText(target), err), err)
	}
	return Caller{
		Unary: func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if err := check(ctx, method); err != nil {
				return err
			}
			return invoke(ctx, method, req, reply, cc, opts...)
		},
		Stream: func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if err := check(ctx, method); err != nil {
				return nil, err
			}
			return next(ctx, desc, cc, method, opts...)
		},
	}
}

// AllowMethods is a Policy that lets these methods be called, by anybody and at any
// client, and no others. A name is that of a method, "/package.Service/Method", or
// of a service, "/package.Service/", which means all its methods.
func AllowMethods(names ...string) Policy {
	allowed := make(map[string]bool, len(names))
	for _, n := range names {
		allowed[n] = true
	}
	return func(_ context.Context, _ *tunnel.Target, method string) error {
		if allowed[method] || allowed[method[:strings.LastIndexByte(method, '/')+1]] {
			return nil
		}
		return fmt.Errorf("it is not among the methods that are allowed")
	}
}

// refused is the error of a push that an interceptor did not make.
func refused(st *status.Status, cause error) error {
	return tunnel.NewError(st, tunnel.OutcomeNotSent, cause)
}

// clientText is a target for people.
func clientText(t *tunnel.Target) string {
	if t.Namespace == "" {
		return fmt.Sprintf("client %q", t.Name)
	}
	return fmt.Sprintf("client %q of namespace %q", t.Name, t.Namespace)
}
