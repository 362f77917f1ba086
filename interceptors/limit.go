package interceptors

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// The limits of LimitPerClient, as tunnel.LimitOf tells them.
const (
	// LimitInFlight is how many pushes to a client are under way.
	LimitInFlight tunnel.Limit = "pushes_per_client"
	// LimitRate is how many pushes to a client begin in a second.
	LimitRate tunnel.Limit = "push_rate_per_client"
)

// ClientLimit sets up LimitPerClient.
type ClientLimit struct {
	// InFlight is how many pushes to a client may be under way. If zero, any number.
	InFlight int
	// Rate is how many pushes to a client may begin in a second. If zero, any
	// number.
	Rate rate.Limit
	// Burst is how many may begin at once. If zero, 1. Without a Rate it means
	// nothing.
	Burst int
}

// LimitPerClient bounds how many pushes a client gets, by namespace and name: all
// its sessions together, and unary and streaming pushes alike. A stream is under way
// until it has ended at this end: its context is over, or the caller has read its
// end. A push above a limit fails with RESOURCE_EXHAUSTED and tells when to come back
// if it is the rate; it is not sent. A limit for each session is
// server.WithMaxCallsPerSession or server.WithCallRate.
//
// An attempt of RetryNotSent counts as a push. A client that has been left alone for so long that it could have a whole burst is
// forgotten. Calls that are not through a tunnel are not limited.
func LimitPerClient(l ClientLimit) Caller {
	b := &bounds{ClientLimit: l}
	return Caller{
		Unary: func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			leave, err := b.enter(ctx)
			if err != nil {
				return err
			}
			defer leave()
			return invoke(ctx, method, req, reply, cc, opts...)
		},
		Stream: func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			leave, err := b.enter(ctx)
			if err != nil {
				return nil, err
			}
			leave = sync.OnceFunc(leave)
			began := false
			defer func() {
				if !began {
					leave()
				}
			}()
			stream, err := next(ctx, desc, cc, method, append(slices.Clip(opts), grpc.OnFinish(func(error) { leave() }))...)
			began = err == nil
			return stream, err
		},
	}
}

// enter lets a push begin, or says why not. leave must be called when it has ended.
func (b *bounds) enter(ctx context.Context) (leave func(), err error) {
	t, ok := tunnel.TargetFromContext(ctx)
	if !ok {
		return func() {}, nil
	}
	c := clientKey{t.Namespace, t.Name}
	limit, wait := b.begin(c, time.Now())
	if limit == LimitInFlight {
		return nil, refused(limit.Status("pushtunnel: %s has %d pushes under way, which is the most", clientText(t), b.InFlight), limit)
	}
	if limit == LimitRate {
		st := limit.Status("pushtunnel: %s gets more than %v pushes a second", clientText(t), float64(b.Rate))
		if timed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)}); err == nil {
			st = timed
		}
		return nil, refused(st, limit)
	}
	return func() { b.end(c) }, nil
}
