package admin

import (
	"context"
	"hash/maphash"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// LimitWatchers is how many calls of WatchSessions there are at a time: see
// tunnel.LimitOf.
const LimitWatchers tunnel.Limit = "watchers"

// defaultWatchers is how many calls of WatchSessions there are at a time.
const defaultWatchers = 64

// AuthorizeFunc decides whether a call may be made. method is the full one, like
// "/pushtunnel.admin.v1.Admin/ListSessions"; ctx is the call's own, with its metadata
// and its peer. The status of an error is what the caller gets; an error without one
// becomes PERMISSION_DENIED. It is called once for each call, on its goroutine, and
// not again while a watch goes on.
type AuthorizeFunc func(ctx context.Context, method string) error

// Option sets up the service.
type Option interface{ apply(*service) }

type optionFunc func(*service)

func (f optionFunc) apply(s *service) { f(s) }

// WithMaxWatchers sets how many calls of WatchSessions there are at a time. One more
// gets RESOURCE_EXHAUSTED. The default is 64; 0 is no limit.
func WithMaxWatchers(n int) Option { return optionFunc(func(s *service) { s.maxWatchers = int64(n) }) }

// Register adds the service Admin to a gRPC server: before it serves, as all
// services. It shows the sessions of push to those whom authorize lets in. It panics
// if push or authorize is nil: there is no service for everybody by accident.
//
// The calls of WatchSessions end when push is closed, so that grpc.Server.GracefulStop
// returns after server.Server.Shutdown.
func Register(r grpc.ServiceRegistrar, push *server.Server, authorize AuthorizeFunc, opts ...Option) {
	if push == nil || authorize == nil {
		panic("pushtunnel: admin.Register needs a server and a function that authorises calls") //nolint:forbidigo // misuse at start-up
	}
	s := &service{push: push, authorize: authorize, maxWatchers: defaultWatchers, seed: maphash.MakeSeed()}
	for _, o := range opts {
		o.apply(s)
	}
	pb.RegisterAdminServer(r, s)
}

// service is the service Admin.
type service struct {
	pb.UnimplementedAdminServer
	push        *server.Server
	authorize   AuthorizeFunc
	maxWatchers int64        // 0: any number
	watchers    atomic.Int64 // so many there are
	seed        maphash.Seed // of the page tokens
}

// enter asks whether a call may be made.
func (s *service) enter(ctx context.Context, method string) error {
	err := s.authorize(ctx, method)
	if err == nil {
		return nil
	}
	if st, ok := status.FromError(err); ok && st.Code() != codes.OK {
		return st.Err()
	}
	return status.Errorf(codes.PermissionDenied, "pushtunnel: %s is refused: %v", method, err)
}
