package tunnel

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// badMetadata is metadata that breaks a rule about itself, not about the
// protocol: it hurts its own call only.
var badMetadata = []struct {
	name  string
	pairs []*pb.Pair
	code  codes.Code
	text  string
}{
	{"an upper-case key", pairs("Key", "v"), codes.Internal, "illegal characters"},
	{"an empty key", pairs("", "v"), codes.Internal, "empty key"},
	{"a value that is not printable", pairs("key", "\x00"), codes.Internal, "non-printable"},
	{"a large value", pairs("key-bin", strings.Repeat("x", 1000)), codes.ResourceExhausted, "metadata above the limit of 1000 bytes"},
	{"many pairs", manyPairs(31), codes.ResourceExhausted, "metadata above the limit of 1000 bytes"},
}

func pairs(key, value string) []*pb.Pair { return []*pb.Pair{{Key: key, Value: []byte(value)}} }

// manyPairs are pairs of one byte, which cost 33.
func manyPairs(n int) (out []*pb.Pair) {
	for range n {
		out = append(out, pairs("k", "")...)
	}
	return out
}

func TestBadMetadataOfARequest(t *testing.T) {
	for _, test := range badMetadata {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := dialled(t, Config{Services: testService{}.services(), MaxMetadata: 1000})
				f := request(1, "x")
				f.Begin.Metadata = &pb.Metadata{Pairs: test.pairs}
				p.send(f)
				got := p.next("the call is refused")
				if end := got.GetEnd(); !end.GetRefused() || codes.Code(end.GetStatus().GetCode()) != test.code ||
					!strings.Contains(string(end.GetStatus().GetMessage()), test.text) {
					t.Errorf("got %v, want it refused with %v and %q", got, test.code, test.text)
				}
				p.send(request(3, "y"))
				p.want("others go on", answer(3, "y"))
			})
		})
	}
}

func TestBadMetadataOfAResponse(t *testing.T) {
	frames := map[string]func(md *pb.Metadata) []*pb.Frame{
		"in a header": func(md *pb.Metadata) []*pb.Frame {
			return script{{CallId: 1, Header: md}, {CallId: 1, Message: encodedText("x")}, {CallId: 1, End: &pb.End{}}}
		},
		"in the header of a unary answer": func(md *pb.Metadata) []*pb.Frame {
			return script{{CallId: 1, Header: md, Message: encodedText("x"), End: &pb.End{}}}
		},
		"in a trailer": func(md *pb.Metadata) []*pb.Frame {
			return script{{CallId: 1, Message: encodedText("x"), End: &pb.End{Trailer: md}}}
		},
		"in the trailer of a failure": func(md *pb.Metadata) []*pb.Frame {
			return script{{CallId: 1, End: &pb.End{Status: &pb.Status{Code: 5}, Trailer: md}}}
		},
	}
	for _, test := range badMetadata {
		for where, frames := range frames {
			t.Run(test.name+" "+where, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := accepted(t, Config{MaxMetadata: 1000})
					call, _ := p.invoke(t.Context(), "x")
					p.want("a call", request(1, "x"))
					other, _ := p.invoke(t.Context(), "y")
					p.want("another", request(3, "y"))
					for _, f := range frames(&pb.Metadata{Pairs: test.pairs}) {
						p.send(f)
					}
					err := call.wait("the call")
					if status.Code(err) != test.code || !strings.Contains(err.Error(), test.text) {
						t.Errorf("got the error %v, want %v with %q", err, test.code, test.text)
					}
					p.send(answer(3, "fine"))
					if err := other.wait("another call"); err != nil {
						t.Errorf("got the error %v, want another call to go on", err)
					}
				})
			})
		}
	}
}

// A header that breaks a rule is no header.
func TestBadHeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{MaxMetadata: 1000})
		stream := p.stream(t.Context(), bidiDesc)
		p.want("a call", begin(1, bidiMethod))
		p.send(&pb.Frame{CallId: 1, Header: &pb.Metadata{Pairs: manyPairs(31)}}, message(1, "x"))
		if md, err := stream.Header(); md != nil || err != nil {
			t.Errorf("got the header %v and the error %v, want none: RecvMsg tells, as in grpc-go", md, err)
		}
		if m, err := receive(stream); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("got %q and the error %v, want RESOURCE_EXHAUSTED", m, err)
		}
		p.want("the peer is told", cancelled(1))
	})
}

// Metadata that is no protobuf breaks the protocol.
func TestMalformedMetadata(t *testing.T) {
	malformed := []byte{1<<3 | 2, 9}
	for name, b := range map[string][]byte{
		"in a request": append(varint(1, 1), field(2, append(field(1, []byte(unaryMethod)), field(2, malformed)...))...),
		"in a header":  append(varint(1, 1), field(3, malformed)...),
		"in a trailer": append(varint(1, 1), field(9, field(2, malformed))...),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var p *scriptedPeer
				if name == "in a request" {
					p = dialled(t, Config{Services: testService{}.services()})
				} else {
					p = accepted(t, Config{})
					p.stream(t.Context(), bidiDesc)
					p.want("a call", begin(1, bidiMethod))
				}
				p.sendBytes(frameBytes(b))
				p.wantClosed(codes.Internal, "call 1: truncated or malformed protobuf")
			})
		})
	}
}

// What a handler says must fit what its caller takes; otherwise the call fails,
// alone, and with a reason.
func TestHandlerMetadataAboveTheLimit(t *testing.T) {
	big := strings.Repeat("x", 2000)
	for name, handle := range map[string]func(ctx context.Context) error{
		"a header":         func(ctx context.Context) error { return grpc.SetHeader(ctx, metadata.Pairs("k", big)) },
		"a header at once": func(ctx context.Context) error { return grpc.SendHeader(ctx, metadata.Pairs("k", big)) },
		"a trailer":        func(ctx context.Context) error { return grpc.SetTrailer(ctx, metadata.Pairs("k", big)) },
		"a status":         func(context.Context) error { return errors.New(big) },
		"all together": func(ctx context.Context) error {
			return errors.Join(grpc.SetTrailer(ctx, metadata.Pairs("k", big[:900])), errors.New(big[:200])) //nolint:wrapcheck // a test
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := dialled(t, Config{Services: testService{unary: func(ctx context.Context, r string) (string, error) {
					return r, handle(ctx)
				}}.services()}, func(h *pb.Hello) { h.MaxMetadata = 1000 })
				p.send(request(1, "x"))
				f := p.next("an answer")
				st := f.GetEnd().GetStatus()
				if codes.Code(st.GetCode()) != codes.ResourceExhausted || !strings.Contains(string(st.GetMessage()), "above the limit of 1000") || f.GetHeader() != nil {
					t.Errorf("got %v, want RESOURCE_EXHAUSTED that names the limit", f)
				}
				p.wantIdle("that is all")
			})
		})
	}
}

// Metadata at the limit passes.
func TestMetadataAtTheLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialled(t, Config{Services: testService{}.services(), MaxMetadata: 990})
		f := request(1, "x")
		f.Begin.Metadata = &pb.Metadata{Pairs: manyPairs(30)}
		p.send(f)
		p.want("30 pairs of 33 bytes are allowed", answer(1, "x"))
	})
}
