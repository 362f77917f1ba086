package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// okStatus is an error whose status is OK, and noStatus one that has none.
type (
	okStatus struct{ error }
	noStatus struct{ error }
)

func (okStatus) GRPCStatus() *status.Status { return status.New(codes.OK, "fine") }
func (noStatus) GRPCStatus() *status.Status { return nil }

func detailed(message string, details ...protoadapt.MessageV1) error {
	st, err := status.New(codes.FailedPrecondition, message).WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return st.Err()
}

// TestErrors is about what a caller sees of a handler's error, in a unary call
// and in a stream with a message before it.
func TestErrors(t *testing.T) {
	info := &errdetails.ErrorInfo{Reason: "r", Domain: "d", Metadata: map[string]string{"k": "v"}}
	retry := &errdetails.RetryInfo{RetryDelay: durationpb.New(1)}
	unknown := status.New(codes.Internal, "m").Proto()
	unknown.Details = []*anypb.Any{{TypeUrl: "type.googleapis.com/no.such.Type", Value: []byte{1, 2, 3}}}
	cases := map[string]struct {
		err        error
		want       string
		differs    *difference
		wantTunnel string
	}{
		"plain":                           {err: errors.New("plain"), want: "Unknown"},
		"empty":                           {err: errors.New(""), want: "Unknown"},
		"EOF":                             {err: io.EOF, want: "Unknown"},
		"unexpected EOF":                  {err: io.ErrUnexpectedEOF, want: "Unknown"},
		"canceled":                        {err: context.Canceled, want: "Canceled"},
		"deadline exceeded":               {err: context.DeadlineExceeded, want: "DeadlineExceeded"},
		"wrapped deadline exceeded":       {err: fmt.Errorf("while waiting: %w", context.DeadlineExceeded), want: "DeadlineExceeded"},
		"a status":                        {err: status.Error(codes.NotFound, "no such thing"), want: "NotFound"},
		"a wrapped status":                {err: fmt.Errorf("more: %w", status.Error(codes.NotFound, "no such thing")), want: "NotFound"},
		"a status without message":        {err: status.Error(codes.DataLoss, ""), want: "DataLoss"},
		"a status with a code of its own": {err: status.Error(codes.Code(4711), "own"), want: "Code(4711)"},
		"a status with details":           {err: detailed("d", info, retry), want: "FailedPrecondition"},
		"a wrapped status with details":   {err: fmt.Errorf("more: %w", detailed("d", info)), want: "FailedPrecondition"},
		"a detail of an unknown type":     {err: status.FromProto(unknown).Err(), want: "Internal"},
		"special characters":              {err: status.Error(codes.Aborted, "\t\n\r\x00%20 ☺ 😈 %"), want: "Aborted"},
		"a long message":                  {err: status.Error(codes.Aborted, strings.Repeat("long ", 1000)), want: "Aborted"},
		"a message that is not UTF-8": {
			err: status.Error(codes.Aborted, "a\xff\xfeb"), want: "Aborted", differs: rawMessages,
		},
		"a message that is not UTF-8, and details": {
			err: func() error {
				p := status.Convert(detailed("", info)).Proto()
				p.Message = "a\xff\xfeb"
				return status.FromProto(p).Err()
			}(),
			want: "FailedPrecondition", differs: rawMessages,
		},
		"a status that is nil": {err: noStatus{errors.New("nil")}, want: "Unknown"},
	}
	scenarios := map[string]scenario{}
	for name, c := range cases {
		trailer := metadata.Pairs("key", "value")
		scenarios[name+", of a unary call"] = scenario{
			handlers: handlers{unary: func(_ context.Context, in *message) (*message, error) { return in, c.err }},
			call:     func(ctx context.Context, call *call) { call.unary(ctx, text("hello")) },
			want:     c.want, differs: c.differs, wantTunnel: c.wantTunnel,
		}
		scenarios[name+", of a stream"] = scenario{
			handlers: handlers{stream: func(s *served) error {
				s.setTrailer(trailer)
				s.send(text("before"))
				return c.err
			}},
			call: func(ctx context.Context, call *call) {
				s := call.open(ctx, bidiMethod)
				s.finish()
				s.recv()
			},
			want: c.want, differs: c.differs, wantTunnel: c.wantTunnel,
		}
	}
	compare(t, scenarios)
}

// TestStatusOKAsError is about a handler's error whose status is OK.
func TestStatusOKAsError(t *testing.T) {
	compare(t, map[string]scenario{
		"of a unary call": {
			handlers: handlers{unary: func(_ context.Context, in *message) (*message, error) { return in, okStatus{errors.New("ok")} }},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, text("hello")) },
			want:     "Internal",
		},
		"of a stream": {
			handlers: handlers{stream: func(s *served) error {
				s.send(text("before"))
				return okStatus{errors.New("ok")}
			}},
			call: func(ctx context.Context, c *call) { c.open(ctx, bidiMethod).finish() },
			want: "EOF",
		},
	})
}

// TestReplyBesidesError: a unary handler that returns both is taken at its error.
func TestReplyBesidesError(t *testing.T) {
	compare(t, map[string]scenario{"both": {
		handlers: handlers{unary: func(context.Context, *message) (*message, error) {
			return text("reply"), status.Error(codes.Aborted, "no")
		}},
		call: func(ctx context.Context, c *call) { c.unary(ctx, text("hello")) },
		want: "Aborted",
	}})
}
