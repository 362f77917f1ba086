package interceptors

import "google.golang.org/grpc"

// Caller is what intercepts calls at the end that makes them: the arguments of
// server.WithUnaryInterceptors and server.WithStreamInterceptors. One of the two may
// be nil.
type Caller struct {
	Unary  grpc.UnaryClientInterceptor
	Stream grpc.StreamClientInterceptor
}

// Handler is what intercepts calls at the end that serves them: the arguments of
// client.WithUnaryInterceptors and client.WithStreamInterceptors. One of the two may
// be nil.
type Handler struct {
	Unary  grpc.UnaryServerInterceptor
	Stream grpc.StreamServerInterceptor
}

// Callers returns the interceptors of all, in this order, without those that are
// nil. The first one is the outermost.
func Callers(all ...Caller) (unary []grpc.UnaryClientInterceptor, stream []grpc.StreamClientInterceptor) {
	for _, c := range all {
		if c.Unary != nil {
			unary = append(unary, c.Unary)
		}
		if c.Stream != nil {
			stream = append(stream, c.Stream)
		}
	}
	return unary, stream
}

// Handlers is Callers for the end that serves.
func Handlers(all ...Handler) (unary []grpc.UnaryServerInterceptor, stream []grpc.StreamServerInterceptor) {
	for _, h := range all {
		if h.Unary != nil {
			unary = append(unary, h.Unary)
		}
		if h.Stream != nil {
			stream = append(stream, h.Stream)
		}
	}
	return unary, stream
}
