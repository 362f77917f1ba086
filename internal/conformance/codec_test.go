package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// jsonCodec and jsonCodecV2 are codecs that both ends know.
type jsonCodec struct{}

func (jsonCodec) Name() string                       { return "test-json" }
func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

type jsonCodecV2 struct{ jsonCodec }

func (jsonCodecV2) Name() string { return "test-json-v2" }

func (c jsonCodecV2) Marshal(v any) (mem.BufferSlice, error) {
	b, err := c.jsonCodec.Marshal(v)
	if err != nil {
		return nil, err
	}
	// In pieces, as codecs may.
	half := len(b) / 2
	return mem.BufferSlice{mem.SliceBuffer(b[:half]), mem.SliceBuffer(b[half:])}, nil
}

func (c jsonCodecV2) Unmarshal(data mem.BufferSlice, v any) error {
	return c.jsonCodec.Unmarshal(data.Materialize(), v)
}

func init() {
	encoding.RegisterCodec(jsonCodec{})
	encoding.RegisterCodecV2(jsonCodecV2{})
}

// protoCodec encodes as gRPC's own codec, under a name of its own.
type protoCodec struct{ name string }

func (c protoCodec) Name() string                { return c.name }
func (c protoCodec) String() string              { return c.name }
func (protoCodec) Marshal(v any) ([]byte, error) { return proto.Marshal(v.(proto.Message)) }
func (protoCodec) Unmarshal(data []byte, v any) error {
	return proto.Unmarshal(data, v.(proto.Message))
}

// brokenCodec can't decode.
type brokenCodec struct{ protoCodec }

func (brokenCodec) Unmarshal([]byte, any) error { return errors.New("cannot decode") }

// jsonHandlers answer in JSON, which is told from what they see.
var jsonHandlers = handlers{
	rawUnary: func(_ context.Context, read func(any) error) (any, error) {
		in := map[string]string{}
		if err := read(&in); err != nil {
			return nil, err
		}
		in["answered"] = "yes"
		return in, nil
	},
}

func TestCodec(t *testing.T) {
	inJSON := func(opts ...grpc.CallOption) func(context.Context, *call) {
		return func(ctx context.Context, c *call) {
			out := map[string]string{}
			err := c.cc.Invoke(ctx, unaryMethod, map[string]string{"asked": "yes"}, &out, opts...)
			c.tr.caller("reply", out)
			c.tr.caller("status", err)
		}
	}
	inProto := func(opts ...grpc.CallOption) func(context.Context, *call) {
		return func(ctx context.Context, c *call) { c.unary(ctx, text("hello"), opts...) }
	}
	json := func(want string, opts ...grpc.CallOption) scenario {
		return scenario{handlers: jsonHandlers, call: inJSON(opts...), want: want}
	}
	proto := func(want string, opts ...grpc.CallOption) scenario {
		return scenario{handlers: handlers{unary: echoUnary}, call: inProto(opts...), want: want}
	}
	unregistered := func(opts ...grpc.CallOption) scenario {
		s := proto("ok", opts...)
		s.differs, s.wantTunnel = unknownCodecs, "Unimplemented"
		return s
	}
	compare(t, map[string]scenario{
		"by subtype":                                json("ok", grpc.CallContentSubtype("test-json")),
		"by subtype, of the new kind":               json("ok", grpc.CallContentSubtype("test-json-v2")),
		"by subtype in capital letters":             json("ok", grpc.CallContentSubtype("Test-JSON")),
		"by subtype of proto":                       proto("ok", grpc.CallContentSubtype("proto")),
		"by an empty subtype":                       proto("ok", grpc.CallContentSubtype("")),
		"by an unknown subtype":                     proto("Internal", grpc.CallContentSubtype("no-such")),
		"forced":                                    json("ok", grpc.ForceCodec(jsonCodec{})),
		"forced, of the new kind":                   json("ok", grpc.ForceCodecV2(jsonCodecV2{})),
		"forced, before a subtype":                  json("ok", grpc.ForceCodec(jsonCodec{}), grpc.CallContentSubtype("test-json-v2")),
		"forced, behind a subtype":                  json("ok", grpc.CallContentSubtype("test-json-v2"), grpc.ForceCodec(jsonCodec{})),
		"forced, before an unknown subtype":         unregistered(grpc.ForceCodec(protoCodec{"proto"}), grpc.CallContentSubtype("no-such")),
		"forced twice":                              json("ok", grpc.ForceCodec(protoCodec{"proto"}), grpc.ForceCodecV2(jsonCodecV2{})),
		"forced under the name of proto":            proto("ok", grpc.ForceCodec(protoCodec{"proto"})),
		"forced, and the handler's end has no such": unregistered(grpc.ForceCodec(protoCodec{"no-such"})),
		"of old":                proto("ok", grpc.CallCustomCodec(protoCodec{"no-such"})),                            //nolint:staticcheck // as long as it is there
		"of old, and a subtype": json("ok", grpc.CallCustomCodec(jsonOfOld{}), grpc.CallContentSubtype("test-json")), //nolint:staticcheck // likewise
		"of old that the handler's end can't decode": json("Internal", grpc.CallCustomCodec(jsonOfOld{})), //nolint:staticcheck // likewise
		"that can't decode the answer":               proto("Internal", grpc.ForceCodec(brokenCodec{protoCodec{"proto"}})),
		"forced, of a stream": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod, grpc.ForceCodec(brokenCodec{protoCodec{"proto"}}))
				s.send(text("a"))
				s.finish()
			},
			want: "Internal",
		},
		"of a compressed stream": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod, grpc.CallContentSubtype("test-json"), grpc.UseCompressor("gzip"))
				s.send(text("a"))
				s.recv()
				s.closeSend()
				s.finish()
			},
			want: "EOF",
		},
	})
}

type jsonOfOld struct{ jsonCodec }

func (jsonOfOld) String() string { return "test-json" }

// TestMarshalErrors is about messages that can't be encoded or decoded.
func TestMarshalErrors(t *testing.T) {
	wrong := "not a proto.Message"
	invalid := wrapperspb.String("\xff")
	compare(t, map[string]scenario{
		"a request of another type": {
			handlers: handlers{unary: echoUnary},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, wrong) },
			want:     "Internal",
		},
		"a request that is not UTF-8": {
			handlers: handlers{unary: echoUnary},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, invalid) },
			want:     "Internal",
		},
		"an answer of another type": {
			handlers: handlers{rawUnary: func(context.Context, func(any) error) (any, error) { return wrong, nil }},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, text("a")) },
			want:     "Internal",
		},
		"an answer that is not UTF-8": {
			handlers: handlers{rawUnary: func(context.Context, func(any) error) (any, error) { return invalid, nil }},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, text("a")) },
			want:     "Internal",
		},
		"a reply of another type": {
			handlers: handlers{unary: echoUnary},
			call: func(ctx context.Context, c *call) {
				c.tr.caller("status", c.cc.Invoke(ctx, unaryMethod, text("a"), &struct{}{}))
			},
			want: "Internal",
		},
		"a request that is garbage to the handler": {
			handlers: handlers{unary: echoUnary, stream: echo},
			call: func(ctx context.Context, c *call) {
				garbage := grpc.ForceCodec(garbageCodec{})
				c.unary(ctx, text("a"), garbage)
				s := c.open(ctx, bidiMethod, garbage)
				s.send(text("a"))
				s.finish()
			},
			want: "Internal",
		},
		"a stream's request of another type": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				s.send(text("a"))
				s.recv()
				s.send(wrong)
				s.send(text("b"))
				s.finish()
			},
			want: "Internal",
		},
		"a server stream's request of another type": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, serverStreamMethod)
				synctest.Wait()
				s.send(wrong)
				s.closeSend()
				s.finish()
			},
			want: "Internal", differs: oneFrame,
		},
		// The caller is told at once, whatever the handler does then.
		"a stream's answer of another type": {
			build: func(tr *transcript) handlers {
				return handlers{stream: func(s *served) error {
					s.send(text("a"))
					s.send(wrong)
					return untilDone(s.Context(), tr)
				}}
			},
			call: func(ctx context.Context, c *call) { c.open(ctx, bidiMethod).finish() },
			want: "Internal",
		},
		"a stream's request that the handler can't take": {
			build: func(tr *transcript) handlers {
				return handlers{stream: func(s *served) error {
					tr.handler("recv", s.RecvMsg(&struct{}{}))
					s.setTrailer(nil)
					return untilDone(s.Context(), tr)
				}}
			},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				s.send(text("a"))
				s.finish()
			},
			want: "Internal",
		},
	})
}

type garbageCodec struct{ protoCodec }

func (garbageCodec) Name() string                { return "proto" }
func (garbageCodec) Marshal(any) ([]byte, error) { return []byte{0xff, 0xff, 0xff}, nil }
