package main

import (
	"encoding/binary"
	"fmt"

	"github.com/pushtunnel/pushtunnel/native"
)

// brpc250 is the head of brpc-java 2.5.0 to 2.5.2: 40 bytes, little-endian. Later
// versions have 48; the version field is 1 in both.
//
//	offset  bytes  field
//	     0      2  id, 0
//	     2      2  version, 1
//	     4      8  log id, which is the correlation id, too
//	    12     16  provider, text padded with zeros
//	    28      4  magic number 0xfb201906
//	    32      4  type
//	    36      4  size of the body
type brpc250 struct{}

const magic = 0xfb201906

func init() { native.RegisterHeadCodec(brpc250{}) }

// Name is by which programs choose it.
func (brpc250) Name() string { return "brpc-2.5.0" }

// Size is constant.
func (brpc250) Size() int { return 40 }

// Append appends a head. There is no room for a log id besides the correlation id.
func (brpc250) Append(b []byte, h native.Head) []byte {
	le := binary.LittleEndian
	b = append(b, 0, 0, 1, 0)
	b = le.AppendUint64(b, uint64(h.CorrelationID))
	b = append(b, make([]byte, 16)...)
	b = le.AppendUint32(b, magic)
	b = le.AppendUint32(b, uint32(h.Type))
	return le.AppendUint32(b, uint32(h.Body))
}

// Parse reads a head.
func (brpc250) Parse(b []byte) (native.Head, error) {
	le := binary.LittleEndian
	if m := le.Uint32(b[28:]); m != magic {
		return native.Head{}, fmt.Errorf("magic number %#08x, want %#08x", m, uint32(magic))
	}
	return native.Head{
		CorrelationID: int64(le.Uint64(b[4:])),
		Type:          native.FrameType(le.Uint32(b[32:])),
		Body:          int(int32(le.Uint32(b[36:]))),
	}, nil
}
