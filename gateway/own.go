package gateway

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Services returns a registrar for services that this server has for those who call
// clients. It registers at r. Calls of these services are not forwarded, although they
// name a client: their handlers call that client by Conn, with what they make of the
// request. Register before r serves.
func (g *Gateway) Services(r grpc.ServiceRegistrar) grpc.ServiceRegistrar { return registrar{g, r} }

type registrar struct {
	g *Gateway
	r grpc.ServiceRegistrar
}

func (r registrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	r.r.RegisterService(desc, impl)
	r.g.own[desc.ServiceName] = true
}

// keeps reports whether a method is of a service of Services.
func (g *Gateway) keeps(method string) bool {
	if len(g.own) == 0 {
		return false
	}
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return g.own[service]
}

// Conn returns a connection for the handlers of Services. A call that is made with it, in
// the context of a handler, goes to the client that the metadata of the handler's own call
// name, as if the caller had called that method itself: the authorizer is asked about the
// method that is called here, the metadata go along, and what the handler has added to
// them. A call in another context fails with INVALID_ARGUMENT, since no client is named.
func (g *Gateway) Conn() grpc.ClientConnInterface { return conn{g} }

type conn struct{ g *Gateway }

func (c conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.reach(ctx, method, opts, func(ctx context.Context, cc grpc.ClientConnInterface, opts []grpc.CallOption) error {
		return cc.Invoke(ctx, method, args, reply, opts...)
	})
}

func (c conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (s grpc.ClientStream, err error) {
	err = c.reach(ctx, method, opts, func(ctx context.Context, cc grpc.ClientConnInterface, opts []grpc.CallOption) error {
		s, err = cc.NewStream(ctx, desc, method, opts...)
		return err
	})
	return s, err
}

func (c conn) reach(ctx context.Context, method string, opts []grpc.CallOption, begin func(context.Context, grpc.ClientConnInterface, []grpc.CallOption) error) error {
	r, md, err := c.g.admit(ctx, method)
	if err != nil {
		return err
	}
	added, _ := metadata.FromOutgoingContext(ctx)
	ctx = metadata.NewOutgoingContext(ctx, metadata.Join(md, added))
	opts = append([]grpc.CallOption{grpc.WaitForReady(r.waits)}, opts...)
	return c.g.reach(ctx, &r, func(cc grpc.ClientConnInterface) error { return begin(ctx, cc, opts) })
}
