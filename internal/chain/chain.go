// Package chain makes one interceptor of several.
package chain

import (
	"context"

	"google.golang.org/grpc"
)

// UnaryServer returns an interceptor that is all of these, the first one outermost;
// nil if there are none.
func UnaryServer(all []grpc.UnaryServerInterceptor) (chained grpc.UnaryServerInterceptor) {
	for i := len(all) - 1; i >= 0; i-- {
		outer, inner := all[i], chained
		if inner == nil {
			chained = outer
			continue
		}
		chained = func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			return outer(ctx, req, info, func(ctx context.Context, req any) (any, error) {
				return inner(ctx, req, info, handler)
			})
		}
	}
	return chained
}

// StreamServer is UnaryServer for streams.
func StreamServer(all []grpc.StreamServerInterceptor) (chained grpc.StreamServerInterceptor) {
	for i := len(all) - 1; i >= 0; i-- {
		outer, inner := all[i], chained
		if inner == nil {
			chained = outer
			continue
		}
		chained = func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return outer(srv, ss, info, func(srv any, ss grpc.ServerStream) error {
				return inner(srv, ss, info, handler)
			})
		}
	}
	return chained
}
