package conformance

import (
	"context"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// TestErrorsOfTunnels says the errors that are not those of grpc-go, so that they
// do not rest on the difference alone.
func TestErrorsOfTunnels(t *testing.T) {
	detail, err := anypb.New(&errdetails.ErrorInfo{Reason: "r"})
	if err != nil {
		t.Fatal(err)
	}
	raw := status.New(codes.Aborted, "a\xff\xfeb").Proto()
	raw.Details = []*anypb.Any{detail}
	failing := func(f func(ctx context.Context) error) handlers {
		return handlers{unary: func(ctx context.Context, in *message) (*message, error) { return in, f(ctx) }}
	}
	ok := failing(func(context.Context) error { return nil })
	cases := map[string]struct {
		handlers handlers
		opts     []grpc.CallOption
		want     failure
	}{
		"a status message that is not UTF-8": {
			handlers: failing(func(context.Context) error { return status.FromProto(raw).Err() }),
			want:     failure{Code: "Aborted", Message: "a\xff\xfeb", Details: []*anypb.Any{detail}},
		},
		"a bad trailer": {
			handlers: failing(func(ctx context.Context) error { return grpc.SetTrailer(ctx, metadata.Pairs("key", "\x01")) }),
			want: failure{
				Code:    "Internal",
				Message: `pushtunnel: the handler's trailer: header key "key" contains value with non-printable ASCII characters`,
			},
		},
		"a bad header": {
			handlers: failing(func(ctx context.Context) error { return grpc.SetHeader(ctx, metadata.Pairs("key", "\x01")) }),
			want:     failure{Code: "Internal", Message: `header key "key" contains value with non-printable ASCII characters`},
		},
		"a codec that the other end does not have": {
			handlers: ok,
			opts:     []grpc.CallOption{grpc.ForceCodec(protoCodec{"no-such"})},
			want:     failure{Code: "Unimplemented", Message: `pushtunnel: no codec registered for content-subtype "no-such"`},
		},
		"an option that is refused": {
			handlers: ok,
			opts:     []grpc.CallOption{grpc.CallAuthority("elsewhere")},
			want: failure{
				Code: "Unimplemented",
				Message: "pushtunnel: call option grpc.AuthorityOverrideCallOption does not work through a tunnel: " +
					"a tunnel has no authority; send metadata instead",
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			tr := scenario{handlers: c.handlers, call: func(ctx context.Context, call *call) {
				call.tr.caller("status", call.cc.Invoke(ctx, unaryMethod, text("a"), &message{}, c.opts...))
			}}.run(t, tunnelWay)
			if diff := diffTranscripts(&transcript{Caller: []event{{"status", c.want}}}, tr); diff != "" {
				t.Errorf("%s: got a difference (-want +got):\n%s", name, diff)
			}
		})
	}
}
