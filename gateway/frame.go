package gateway

import (
	"errors"
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/pushtunnel/pushtunnel/internal/relay"
)

// frame is an encoded message. With Codec it goes through by reference. It is a
// proto.Message, too: for interceptors that expect one, to which it is an empty
// message, and for servers that use gRPC's own codec, which costs two copies.
type frame struct {
	data   mem.BufferSlice // a reference that the frame owns
	given  bool            // it has given that away
	shared bool            // it keeps that until it is freed, and gives others away
}

var _ relay.Message = (*frame)(nil)

var errGiven = errors.New("pushtunnel: a forwarded message can be sent once")

// Give hands the bytes over: once, unless the frame is shared.
func (f *frame) Give() (mem.BufferSlice, error) {
	switch {
	case f.given:
		return nil, errGiven
	case f.shared:
		f.data.Ref()
		return f.data, nil
	}
	data := f.data
	f.data, f.given = nil, true
	return data, nil
}

// free frees a shared frame. It must not be used after that.
func (f *frame) free() {
	f.data.Free()
	f.data, f.given, f.shared = nil, true, false
}

// Take takes a reference to the bytes.
func (f *frame) Take(data mem.BufferSlice) {
	data.Ref()
	f.data, f.given = append(f.data[:0], data...), false
}

// Codec returns the codec that passes forwarded messages on by reference. Everything
// else it leaves to gRPC's codec for protobuf, so that other services of the server
// work as before, and tunnels are as fast. It stands in for all content-subtypes: a
// server that has services with codecs of their own does without it, and gives its
// grpc.Server all that ServerOptions returns but this. Then each message is copied
// twice.
func Codec() encoding.CodecV2 { return theCodec() }

// theCodec is made when it is needed: until then a program may have put a codec of
// its own in the place of gRPC's.
var theCodec = sync.OnceValue(func() encoding.CodecV2 { return codec{encoding.GetCodecV2(proto.Name)} })

type codec struct{ encoding.CodecV2 }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(relay.Message); ok {
		return m.Give()
	}
	return c.CodecV2.Marshal(v)
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(relay.Message); ok {
		m.Take(data)
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// ProtoReflect makes a frame a proto.Message.
func (f *frame) ProtoReflect() protoreflect.Message {
	return frameMessage{Message: (*emptypb.Empty)(nil).ProtoReflect(), frame: f}
}

// Reset empties the frame.
func (f *frame) Reset() { *f = frame{} }

// String says nothing of the bytes.
func (f *frame) String() string { return "forwarded message" }

// frameMessage is a frame's reflection: that of an empty message, but for what
// encodes and decodes.
type frameMessage struct {
	protoreflect.Message
	frame *frame
}

func (m frameMessage) Interface() protoreflect.ProtoMessage { return m.frame }

func (m frameMessage) ProtoMethods() *protoiface.Methods { return frameMethods }

var errNotFrame = errors.New("pushtunnel: not a forwarded message")

var frameMethods = &protoiface.Methods{
	Flags: protoiface.SupportUnmarshalDiscardUnknown,
	Size: func(in protoiface.SizeInput) protoiface.SizeOutput {
		m, ok := in.Message.(frameMessage)
		if !ok {
			return protoiface.SizeOutput{}
		}
		return protoiface.SizeOutput{Size: m.frame.data.Len()}
	},
	Marshal: func(in protoiface.MarshalInput) (protoiface.MarshalOutput, error) {
		m, ok := in.Message.(frameMessage)
		if !ok {
			return protoiface.MarshalOutput{}, errNotFrame
		}
		out := in.Buf
		for _, b := range m.frame.data {
			out = append(out, b.ReadOnlyData()...)
		}
		return protoiface.MarshalOutput{Buf: out}, nil
	},
	Unmarshal: func(in protoiface.UnmarshalInput) (protoiface.UnmarshalOutput, error) {
		m, ok := in.Message.(frameMessage)
		if !ok {
			return protoiface.UnmarshalOutput{}, errNotFrame
		}
		*m.frame = frame{data: mem.BufferSlice{mem.Copy(in.Buf, mem.DefaultBufferPool())}}
		return protoiface.UnmarshalOutput{Flags: protoiface.UnmarshalInitialized}, nil
	},
	CheckInitialized: func(protoiface.CheckInitializedInput) (protoiface.CheckInitializedOutput, error) {
		return protoiface.CheckInitializedOutput{}, nil
	},
}
