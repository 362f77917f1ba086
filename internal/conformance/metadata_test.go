package conformance

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// odd is metadata with all that is allowed: binary values that are not UTF-8,
// empty values, keys that repeat.
var odd = metadata.Pairs(
	"plain", "value",
	"many", "2", "many", "1", "many", "2",
	"empty", "",
	"spaces", " in front and behind ",
	"printable", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
	"comma", "a,b",
	"data-bin", "\x00\xff\xfe not UTF-8",
	"data-bin", "",
	"data-bin", "a,b",
	"empty-bin", "",
	"0-9_a.z", "all sorts of letters",
	"grpc-previous-rpc-attempts", "7",
	"x-user-agent", "not reserved",
)

// reserved is metadata that grpc-go leaves out without a word.
var reserved = metadata.MD{
	"content-type":      {"text/html"},
	"user-agent":        {"somebody else"},
	"grpc-message-type": {"m"},
	"grpc-encoding":     {"e"},
	"grpc-message":      {"m"},
	"grpc-status":       {"13"},
	"grpc-timeout":      {"1S"},
	"te":                {"trailers"},
	":path":             {"/elsewhere"},
	"kept":              {"yes"},
}

// incoming notes what metadata a handler gets.
func incoming(ctx context.Context, tr *transcript) {
	md, ok := metadata.FromIncomingContext(ctx)
	tr.handler("incoming metadata", md)
	tr.handler("incoming metadata is there", ok)
}

func TestRequestMetadata(t *testing.T) {
	noting := func(tr *transcript) handlers {
		return handlers{unary: func(ctx context.Context, in *message) (*message, error) {
			incoming(ctx, tr)
			return in, nil
		}}
	}
	sending := func(md metadata.MD) scenario {
		return scenario{build: noting, want: "ok", call: func(ctx context.Context, c *call) {
			c.unary(metadata.NewOutgoingContext(ctx, md), text("hello"))
		}}
	}
	failing := func(md metadata.MD) scenario {
		return scenario{build: noting, want: "Internal", call: func(ctx context.Context, c *call) {
			ctx = metadata.NewOutgoingContext(ctx, md)
			c.unary(ctx, text("hello"))
			for _, method := range methods {
				c.open(ctx, method)
			}
		}}
	}
	compare(t, map[string]scenario{
		"none":                 {build: noting, want: "ok", call: func(ctx context.Context, c *call) { c.unary(ctx, text("hello")) }},
		"empty":                sending(metadata.MD{}),
		"all sorts":            sending(odd),
		"a key without values": sending(metadata.MD{"none": {}, "some": {"a"}}),
		"reserved keys":        sending(reserved),
		"appended": {build: noting, want: "ok", call: func(ctx context.Context, c *call) {
			ctx = metadata.AppendToOutgoingContext(metadata.NewOutgoingContext(ctx, odd), "Many", "3", "Added", "x")
			c.unary(ctx, text("hello"))
		}},
		"what the caller has got itself is not sent on": {build: noting, want: "ok", call: func(ctx context.Context, c *call) {
			c.unary(metadata.NewIncomingContext(ctx, odd), text("hello"))
		}},
		"of a stream": {
			build: func(tr *transcript) handlers {
				return handlers{stream: func(s *served) error {
					incoming(s.Context(), tr)
					return nil
				}}
			},
			call: func(ctx context.Context, c *call) {
				s := c.open(metadata.NewOutgoingContext(ctx, odd), bidiMethod)
				s.finish()
			},
			want: "EOF",
		},
		"a value with a control character":      failing(metadata.MD{"key": {"a\x01"}}),
		"a value with a line feed":              failing(metadata.MD{"key": {"a\n"}}),
		"a value that is not ASCII":             failing(metadata.MD{"key": {"é"}}),
		"a value with a bad byte":               failing(metadata.MD{"key": {"\xff"}}),
		"a key with a space":                    failing(metadata.MD{"a key": {"value"}}),
		"an empty key":                          failing(metadata.MD{"": {"value"}}),
		"a reserved key with a bad value":       failing(metadata.MD{"user-agent": {"\x01"}}),
		"a key with a letter that is not ASCII": failing(metadata.MD{"clé": {"value"}}),
		"a key with a capital letter": {
			build: noting, want: "Internal",
			call: func(ctx context.Context, c *call) {
				c.unary(metadata.NewOutgoingContext(ctx, metadata.MD{"Key": {"value"}}), text("hello"))
			},
			differs: capitalKeys, wantTunnel: "ok",
		},
	})
}

func TestResponseMetadata(t *testing.T) {
	other := metadata.Pairs("many", "3", "other", "x")
	failed := status.Error(codes.Aborted, "no")
	// unary runs f in a unary handler.
	unary := func(want string, f func(ctx context.Context, tr *transcript) error) scenario {
		return scenario{
			build: func(tr *transcript) handlers {
				return handlers{unary: func(ctx context.Context, in *message) (*message, error) { return in, f(ctx, tr) }}
			},
			call: func(ctx context.Context, c *call) { c.unary(ctx, text("hello")) },
			want: want,
		}
	}
	// bidi runs f in a streaming handler; the caller looks at the header first.
	bidi := func(want string, f func(s *served) error) scenario {
		return scenario{
			handlers: handlers{stream: f},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				s.header()
				s.closeSend()
				s.finish()
			},
			want: want,
		}
	}
	compare(t, map[string]scenario{
		"set in a unary handler": unary("ok", func(ctx context.Context, tr *transcript) error {
			tr.handler("set header", grpc.SetHeader(ctx, odd))
			tr.handler("set header", grpc.SetHeader(ctx, other))
			tr.handler("set trailer", grpc.SetTrailer(ctx, odd))
			tr.handler("set trailer", grpc.SetTrailer(ctx, other))
			return nil
		}),
		"sent in a unary handler": unary("ok", func(ctx context.Context, tr *transcript) error {
			tr.handler("set header", grpc.SetHeader(ctx, odd))
			tr.handler("send header", grpc.SendHeader(ctx, other))
			tr.handler("send header", grpc.SendHeader(ctx, other))
			tr.handler("set header", grpc.SetHeader(ctx, other))
			tr.handler("set header", grpc.SetHeader(ctx, nil))
			return nil
		}),
		"set in a unary handler that fails": unary("Aborted", func(ctx context.Context, tr *transcript) error {
			tr.handler("set header", grpc.SetHeader(ctx, odd))
			tr.handler("set trailer", grpc.SetTrailer(ctx, other))
			return failed
		}),
		"only a trailer, of a unary handler that fails": unary("Aborted", func(ctx context.Context, tr *transcript) error {
			tr.handler("set trailer", grpc.SetTrailer(ctx, odd))
			return failed
		}),
		"reserved keys": unary("ok", func(ctx context.Context, tr *transcript) error {
			tr.handler("set header", grpc.SetHeader(ctx, reserved))
			tr.handler("set trailer", grpc.SetTrailer(ctx, reserved))
			return nil
		}),
		"a header value that is not ASCII": unary("ok", func(ctx context.Context, tr *transcript) error {
			tr.handler("set header", grpc.SetHeader(ctx, metadata.Pairs("key", "é\xff\t")))
			return nil
		}),
		"a header value with a control character": func() scenario {
			s := unary("Internal", func(ctx context.Context, tr *transcript) error {
				tr.handler("set header", grpc.SetHeader(ctx, metadata.Pairs("key", "\x01")))
				return nil
			})
			s.differs, s.wantTunnel = badHeaders, "ok"
			return s
		}(),
		"bad pairs in a stream's header": bidi("EOF", func(s *served) error {
			for _, md := range []metadata.MD{{"key": {"\x01"}}, {"Key": {"a"}}, {"": {"a"}}, {"key": {"é"}}} {
				s.setHeader(md)
				s.sendHeader(md)
			}
			return nil
		}),
		"a trailer value that is not ASCII": unary("ok", func(ctx context.Context, tr *transcript) error {
			tr.handler("set trailer", grpc.SetTrailer(ctx, metadata.Pairs("key", "é\xff\t")))
			return nil
		}),
		"a trailer value with a control character": func() scenario {
			s := unary("Internal", func(ctx context.Context, tr *transcript) error {
				tr.handler("set trailer", grpc.SetTrailer(ctx, metadata.Pairs("key", "\x01", "other", "fine")))
				return nil
			})
			s.differs = badTrailers
			return s
		}(),
		"a trailer key with a space": func() scenario {
			s := bidi("Internal", func(s *served) error {
				s.setTrailer(metadata.MD{"a key": {"value"}})
				return failed
			})
			s.differs = badTrailers
			return s
		}(),
		"a header sent before anything else": bidi("EOF", func(s *served) error {
			s.sendHeader(odd)
			s.recv()
			return nil
		}),
		"an empty header sent before anything else": bidi("EOF", func(s *served) error {
			s.sendHeader(nil)
			return nil
		}),
		"a header set, and a message": bidi("EOF", func(s *served) error {
			s.setHeader(odd)
			s.setHeader(other)
			s.setTrailer(odd)
			s.send(text("a"))
			s.setHeader(other)
			s.setHeader(nil)
			s.sendHeader(other)
			s.setTrailer(other)
			return nil
		}),
		"a header set, and no message": bidi("EOF", func(s *served) error {
			s.setHeader(odd)
			return nil
		}),
		"a header set, and an error": bidi("Aborted", func(s *served) error {
			s.setHeader(odd)
			s.setTrailer(odd)
			return failed
		}),
		"no header, and no message": bidi("EOF", func(*served) error { return nil }),
		"no header, and an error": bidi("Unknown", func(s *served) error {
			s.setTrailer(odd)
			return errors.New("no")
		}),
		"no header, a message, and an error": bidi("Aborted", func(s *served) error {
			s.send(text("a"))
			return failed
		}),
		"changed after it was set": bidi("EOF", func(s *served) error {
			md := metadata.Pairs("key", "before")
			s.setHeader(md)
			s.setTrailer(md)
			md.Set("key", "after")
			md.Set("other", "after")
			return nil
		}),
	})
}

// TestMetadataIsOnesOwn: who changes metadata that he has got changes it for
// nobody else.
func TestMetadataIsOnesOwn(t *testing.T) {
	compare(t, map[string]scenario{"header and trailer": {
		build: func(tr *transcript) handlers {
			return handlers{stream: func(s *served) error {
				md, _ := metadata.FromIncomingContext(s.Context())
				md.Set("key", "changed")
				incoming(s.Context(), tr)
				s.setTrailer(metadata.Pairs("key", "value"))
				s.sendHeader(metadata.Pairs("key", "value"))
				return nil
			}}
		},
		call: func(ctx context.Context, c *call) {
			s := c.open(metadata.NewOutgoingContext(ctx, metadata.Pairs("key", "value")), bidiMethod)
			md, _ := s.Header()
			md.Set("key", "changed")
			s.finish()
			s.Trailer().Set("key", "changed")
			s.trailer()
		},
		want: "EOF",
	}})
}
