package tunnel

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"

	"github.com/pushtunnel/pushtunnel/internal/relay"
	pb "github.com/pushtunnel/pushtunnel/proto"
)

var _ relay.Message = (*packet)(nil)

// packet is an encoded pb.Batch, as gRPC sends and receives it. With the codec
// of this package it goes through as it is, and with any that knows relay.Message.
// It is a proto.Message too, for peers and programs that use gRPC's own codec: that
// costs a copy.
type packet struct {
	buf   mem.Buffer
	slice [1]mem.Buffer // what gRPC gets of it
	taken bool          // buf belongs to gRPC
}

// stream is what the two ends of a gRPC stream have in common.
type stream interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

func sendPacket(s stream, batch mem.Buffer) error {
	p := &packet{buf: batch}
	err := s.SendMsg(p)
	if !p.taken {
		batch.Free()
	}
	return err
}

// recvPacket receives a batch. p is where gRPC puts it; it may be used again.
func recvPacket(s stream, p *packet) (mem.Buffer, error) {
	if err := s.RecvMsg(p); err != nil {
		return nil, err
	}
	batch := p.buf
	p.buf = nil
	return batch, nil
}

// codec is a gRPC codec for packets: it moves buffers and copies nothing. The
// bytes are those of the proto codec.
type codec struct{}

// subtype is the codec's gRPC content-subtype.
const subtype = "pushtunnel"

func init() { encoding.RegisterCodecV2(codec{}) }

// Name returns the content-subtype.
func (codec) Name() string { return subtype }

// Marshal gives the packet's buffer away.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	p, ok := v.(*packet)
	if !ok {
		return nil, fmt.Errorf("pushtunnel: the codec %q is for tunnels, not for %T", subtype, v)
	}
	return p.Give()
}

// Unmarshal takes a reference to the data, in one piece.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	p, ok := v.(*packet)
	if !ok {
		return fmt.Errorf("pushtunnel: the codec %q is for tunnels, not for %T", subtype, v)
	}
	p.Take(data)
	return nil
}

// Give gives the packet's buffer away.
func (p *packet) Give() (mem.BufferSlice, error) {
	p.taken = true
	p.slice[0] = p.buf
	return p.slice[:], nil
}

// Take takes a reference to the data, in one piece.
func (p *packet) Take(data mem.BufferSlice) {
	if len(data) == 0 {
		p.buf = mem.SliceBuffer(nil)
		return
	}
	p.buf = data.MaterializeToBuffer(pool)
}

// ProtoReflect makes a packet a proto.Message.
func (p *packet) ProtoReflect() protoreflect.Message {
	return packetMessage{Message: (*pb.Batch)(nil).ProtoReflect(), packet: p}
}

// Reset empties the packet.
func (p *packet) Reset() { p.buf = mem.SliceBuffer(nil) }

// packetMessage is a packet's reflection: that of an empty pb.Batch, but for
// what encodes and decodes.
type packetMessage struct {
	protoreflect.Message
	packet *packet
}

func (m packetMessage) Interface() protoreflect.ProtoMessage { return m.packet }

func (m packetMessage) ProtoMethods() *protoiface.Methods { return packetMethods }

var errNotPacket = errors.New("pushtunnel: not a packet")

var packetMethods = &protoiface.Methods{
	Flags: protoiface.SupportUnmarshalDiscardUnknown,
	Size: func(in protoiface.SizeInput) protoiface.SizeOutput {
		m, ok := in.Message.(packetMessage)
		if !ok {
			return protoiface.SizeOutput{}
		}
		return protoiface.SizeOutput{Size: m.packet.buf.Len()}
	},
	Marshal: func(in protoiface.MarshalInput) (protoiface.MarshalOutput, error) {
		m, ok := in.Message.(packetMessage)
		if !ok {
			return protoiface.MarshalOutput{}, errNotPacket
		}
		return protoiface.MarshalOutput{Buf: append(in.Buf, m.packet.buf.ReadOnlyData()...)}, nil
	},
	Unmarshal: func(in protoiface.UnmarshalInput) (protoiface.UnmarshalOutput, error) {
		m, ok := in.Message.(packetMessage)
		if !ok {
			return protoiface.UnmarshalOutput{}, errNotPacket
		}
		m.packet.buf = mem.Copy(in.Buf, pool)
		return protoiface.UnmarshalOutput{Flags: protoiface.UnmarshalInitialized}, nil
	},
	CheckInitialized: func(protoiface.CheckInitializedInput) (protoiface.CheckInitializedOutput, error) {
		return protoiface.CheckInitializedOutput{}, nil
	},
}
