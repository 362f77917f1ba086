package tunnel

import (
	"io"
	"math"
	"reflect"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	gproto "google.golang.org/protobuf/proto"

	"github.com/pushtunnel/pushtunnel/internal/relay"
)

// format is how the messages of a call are encoded.
type format struct {
	codec      encoding.CodecV2
	subtype    string // the codec's name on the wire; empty: proto
	compressor encoding.Compressor
	stock      bool // the codec is gRPC's own for protobuf
}

// name returns the name of the compressor, empty without one.
func (f *format) name() string {
	if f.compressor == nil {
		return ""
	}
	return f.compressor.Name()
}

// gRPC's 5 bytes before a message, which stats handlers expect to be counted.
const grpcPrefix = 5

// plainFormat returns the format of nearly all calls: the codec "proto", and no
// compressor. A program may have put a codec of its own in the place of gRPC's, in
// an init function: so it is not looked up before the first call.
var plainFormat = sync.OnceValue(func() *format {
	f := &format{codec: registered(proto.Name)}
	t := reflect.TypeOf(f.codec)
	f.stock = t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "google.golang.org/grpc/encoding/proto"
	return f
})

// codecFor returns the codec of a content-subtype, nil if none is registered.
func codecFor(subtype string) encoding.CodecV2 {
	if subtype == "" || subtype == proto.Name {
		return plainFormat().codec
	}
	return registered(strings.ToLower(subtype))
}

func registered(subtype string) encoding.CodecV2 {
	if c := encoding.GetCodecV2(subtype); c != nil {
		return c
	}
	if c := encoding.GetCodec(subtype); c != nil {
		return codecV1{c}
	}
	return nil
}

// oldCodec is what encoding.Codec and grpc.Codec have in common.
type oldCodec interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// codecV1 makes a CodecV2 of an old codec.
type codecV1 struct{ oldCodec }

func (c codecV1) Marshal(v any) (mem.BufferSlice, error) {
	b, err := c.oldCodec.Marshal(v)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (c codecV1) Unmarshal(data mem.BufferSlice, v any) error {
	return c.oldCodec.Unmarshal(data.Materialize(), v)
}

func (c codecV1) Name() string {
	switch c := c.oldCodec.(type) {
	case interface{ Name() string }:
		return c.Name()
	case interface{ String() string }:
		return c.String()
	}
	return ""
}

// encoded is a message ready to be sent.
type encoded struct {
	data       mem.Buffer
	plain      int // its size in bytes before compression
	compressed bool
}

// encode encodes and compresses a message. Errors are statuses, in the words of
// gRPC.
func (f *format) encode(m any, limit int) (encoded, error) {
	if m == nil {
		return encoded{data: mem.SliceBuffer(nil)}, nil // as in grpc-go
	}
	if f.stock && f.compressor == nil {
		if m, ok := m.(gproto.Message); ok {
			return encodeProto(m, limit)
		}
	}
	out, err := f.codec.Marshal(m)
	if err != nil {
		return encoded{}, status.Errorf(codes.Internal, "grpc: error while marshaling: %v", err)
	}
	e := encoded{plain: out.Len()}
	if f.compressor != nil && e.plain > 0 {
		squeezed, err := compress(out, f.compressor)
		out.Free()
		if err != nil {
			return encoded{}, status.Errorf(codes.Internal, "grpc: error while compressing: %v", err)
		}
		out, e.compressed = squeezed, true
	}
	if n := out.Len(); n > limit {
		out.Free()
		return encoded{}, tooLarge(n, limit)
	}
	switch len(out) {
	case 0:
		e.data = mem.SliceBuffer(nil)
	case 1:
		e.data = out[0]
	default:
		e.data = out.MaterializeToBuffer(pool)
		out.Free()
	}
	return e, nil
}

// encodeProto is encode for what nearly all calls carry: it does what gRPC's own
// codec does, with buffers from the pool whatever their size.
func encodeProto(m gproto.Message, limit int) (encoded, error) {
	size := gproto.Size(m)
	if size > limit {
		return encoded{}, tooLarge(size, limit)
	}
	buf := pool.Get(size)
	out, err := gproto.MarshalOptions{UseCachedSize: true}.MarshalAppend((*buf)[:0], m)
	if err != nil {
		pool.Put(buf)
		return encoded{}, status.Errorf(codes.Internal, "grpc: error while marshaling: %v", err)
	}
	*buf = out
	return encoded{data: mem.NewBuffer(buf, pool), plain: len(out)}, nil
}

func tooLarge(size, limit int) error {
	return LimitMessage.exceeded(OutcomeAnswered, "trying to send message larger than max (%d vs. %d)", size, limit)
}

func compress(in mem.BufferSlice, c encoding.Compressor) (out mem.BufferSlice, err error) {
	w, err := c.Compress(mem.NewWriter(&out, pool))
	if err == nil {
		for _, b := range in {
			if _, err = w.Write(b.ReadOnlyData()); err != nil {
				break
			}
		}
		if e := w.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		out.Free()
		return nil, err
	}
	return out, nil
}

// decode decodes a message into m and frees it. It returns the message's size
// before compression. missing is the status code for a compressor that is not
// there. Errors are statuses, in the words of gRPC.
func (f *format) decode(data mem.BufferSlice, compressed bool, limit int, m any, missing codes.Code) (plain int, err error) {
	defer func() { data.Free() }()
	if compressed {
		if f.compressor == nil {
			return 0, status.Error(missing, "grpc: a compressed message on a call without a compressor")
		}
		out, err := decompress(data, f.compressor, limit)
		if err != nil {
			return 0, err
		}
		data.Free()
		data = out
	}
	if _, raw := m.(relay.Message); len(data) > 1 && !raw {
		// In one piece for the codec, which would do the same with a pool that
		// clears what it gets back.
		whole := data.MaterializeToBuffer(pool)
		data.Free()
		data = mem.BufferSlice{whole}
	}
	if err := f.codec.Unmarshal(data, m); err != nil {
		return 0, status.Errorf(codes.Internal, "grpc: failed to unmarshal the received message: %v", err)
	}
	return data.Len(), nil
}

func decompress(data mem.BufferSlice, c encoding.Compressor, limit int) (mem.BufferSlice, error) {
	r := data.Reader()
	defer r.Close()
	plain, err := c.Decompress(r)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "grpc: failed to decompress the message: %v", err)
	}
	if closer, ok := plain.(io.Closer); ok {
		defer closer.Close()
	}
	bound := int64(limit)
	if bound < math.MaxInt64 {
		bound++
	}
	out, err := mem.ReadAll(io.LimitReader(plain, bound), pool)
	if err != nil {
		out.Free()
		return nil, status.Errorf(codes.Internal, "grpc: failed to read decompressed data: %v", err)
	}
	if n := out.Len(); n > limit {
		out.Free()
		return nil, LimitMessage.exceeded(OutcomeAnswered, "grpc: received message after decompression larger than max %d", limit)
	}
	return out, nil
}
