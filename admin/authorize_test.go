package admin_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/admin"
	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
	"github.com/pushtunnel/pushtunnel/server"
)

// both makes a call of each method, and returns their errors by the method.
func both(ctx context.Context, c pb.AdminClient) map[string]error {
	_, list := c.ListSessions(ctx, &pb.ListSessionsRequest{})
	stream, watch := c.WatchSessions(ctx, &pb.WatchSessionsRequest{})
	if watch == nil {
		_, watch = stream.Recv()
	}
	return map[string]error{pb.Admin_ListSessions_FullMethodName: list, pb.Admin_WatchSessions_FullMethodName: watch}
}

func TestEveryCallIsAuthorised(t *testing.T) {
	for _, test := range []struct {
		why    string
		err    error
		code   codes.Code
		text   string
		suffix bool
	}{
		{"a status", status.Error(codes.Unauthenticated, "who are you"), codes.Unauthenticated, "who are you", false},
		{"a status that is wrapped", fmt.Errorf("tokens: %w", status.Error(codes.Unavailable, "no answer")), codes.Unavailable, "tokens: rpc error: code = Unavailable desc = no answer", false},
		{"a plain error", errors.New("not an operator"), codes.PermissionDenied, "pushtunnel: %s is refused: not an operator", true},
		{"an error that says it is none", okError{}, codes.PermissionDenied, "pushtunnel: %s is refused: fine", true},
		{"nil", nil, codes.OK, "", false},
	} {
		t.Run(test.why, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var asked atomic.Pointer[string]
				w := newWorld(t, func(ctx context.Context, method string) error {
					if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("token")) == 0 {
						t.Error("got no token, want the metadata of the call")
					}
					asked.Store(&method)
					return test.err
				}, nil)
				ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "token", "1"))
				defer cancel()
				for method, err := range both(ctx, w) {
					want := test.text
					if test.suffix {
						want = fmt.Sprintf(want, method)
					}
					if st := status.Convert(err); st.Code() != test.code || st.Message() != want {
						t.Errorf("%s: got %v %q, want %v %q", method, st.Code(), st.Message(), test.code, want)
					}
				}
				if got := *asked.Load(); got != pb.Admin_WatchSessions_FullMethodName {
					t.Errorf("asked for %q last, want the full name of the method", got)
				}
			})
		})
	}
}

// okError is an error whose status is OK.
type okError struct{}

func (okError) Error() string              { return "fine" }
func (okError) GRPCStatus() *status.Status { return status.New(codes.OK, "") }

func TestRegisterNeedsAuthorisation(t *testing.T) {
	for why, register := range map[string]func(){
		"no function": func() { admin.Register(grpc.NewServer(), server.New(), nil) },
		"no server":   func() { admin.Register(grpc.NewServer(), nil, everybody) },
	} {
		t.Run(why, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got no panic")
				}
			}()
			register()
		})
	}
}
