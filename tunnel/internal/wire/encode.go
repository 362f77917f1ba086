package wire

import (
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
)

// Whole parts that never vary.
var (
	// HalfClose is the half_close part.
	HalfClose = appendBool(nil, fieldHalfClose)
	// Cancel is the cancel part.
	Cancel = appendBool(nil, fieldCancel)
	// EndOK is an end part with status OK and no trailer.
	EndOK = AppendEnd(nil, Tail{})
	// Done is the done part.
	Done = appendBool(nil, fieldDone)
)

// Piece is a message part to be sent.
type Piece struct {
	Data       []byte
	Size       uint64 // of the whole message if this is the first of several pieces
	Compressed bool
	Blocked    bool
}

// FrameOverhead is the most that AppendCallFrame adds to the bytes it is given.
const FrameOverhead = 34

// AppendCallFrame appends to a batch one frame about a call: the encoded parts
// in pre, then the piece unless it is nil, then the encoded parts in post.
func AppendCallFrame(batch []byte, callID uint64, pre []byte, p *Piece, post []byte) []byte {
	size := 1 + protowire.SizeVarint(callID) + len(pre) + len(post)
	if p != nil {
		size += 1 + protowire.SizeBytes(len(p.Data))
		if p.Size != 0 {
			size += 1 + protowire.SizeVarint(p.Size)
		}
		if p.Compressed {
			size += 2
		}
		if p.Blocked {
			size += 2
		}
	}
	batch = append(batch, 1<<3|2)
	batch = protowire.AppendVarint(batch, uint64(size))
	batch = append(batch, fieldCallID<<3)
	batch = protowire.AppendVarint(batch, callID)
	batch = append(batch, pre...)
	if p != nil {
		batch = append(batch, fieldMessage<<3|2)
		batch = protowire.AppendBytes(batch, p.Data)
		if p.Size != 0 {
			batch = appendUint(batch, fieldMessageSize, p.Size)
		}
		if p.Compressed {
			batch = appendBool(batch, fieldCompressed)
		}
		if p.Blocked {
			batch = appendBool(batch, fieldBlocked)
		}
	}
	return append(batch, post...)
}

// AppendSessionFrame appends to a batch one frame about the session, made of
// the encoded parts.
func AppendSessionFrame(batch, parts []byte) []byte {
	batch = append(batch, 1<<3|2)
	return protowire.AppendBytes(batch, parts)
}

// AppendHello appends a hello part; the argument is an encoded Hello.
func AppendHello(b, hello []byte) []byte { return appendBytes(b, fieldHello, hello) }

// AppendGoAway appends a go_away part; the argument is an encoded GoAway.
func AppendGoAway(b, goAway []byte) []byte { return appendBytes(b, fieldGoAway, goAway) }

// AppendClose appends a close part; the argument is an encoded Status.
func AppendClose(b, status []byte) []byte { return appendBytes(b, fieldClose, status) }

// AppendPing appends a ping part.
func AppendPing(b []byte, v uint64) []byte { return appendUint(b, fieldPing, v) }

// AppendPong appends a pong part.
func AppendPong(b []byte, v uint64) []byte { return appendUint(b, fieldPong, v) }

// AppendReceived appends a received part.
func AppendReceived(b []byte, v uint64) []byte { return appendUint(b, fieldReceived, v) }

// AppendWindow appends a window part.
func AppendWindow(b []byte, v uint64) []byte { return appendUint(b, fieldWindow, v) }

// Head is a request head to be sent. See Begin for the units.
type Head struct {
	Method     string
	Metadata   []metadata.MD
	Timeout    uint64
	HasTimeout bool
	Codec      string
	Compressor string
}

// AppendBegin appends a begin part.
func AppendBegin(b []byte, h Head) []byte {
	md := 0
	for _, m := range h.Metadata {
		md += metadataSize(m)
	}
	size := sizeString(h.Method) + sizeString(h.Codec) + sizeString(h.Compressor)
	if md > 0 {
		size += 1 + protowire.SizeBytes(md)
	}
	if h.HasTimeout {
		size += 1 + protowire.SizeVarint(h.Timeout)
	}
	b = append(b, fieldBegin<<3|2)
	b = protowire.AppendVarint(b, uint64(size))
	b = appendString(b, 1, h.Method)
	if md > 0 {
		b = append(b, 2<<3|2)
		b = protowire.AppendVarint(b, uint64(md))
		for _, m := range h.Metadata {
			b = appendPairs(b, m)
		}
	}
	if h.HasTimeout {
		b = appendUint(b, 3, h.Timeout)
	}
	b = appendString(b, 4, h.Codec)
	return appendString(b, 5, h.Compressor)
}

// AppendHeader appends a header part.
func AppendHeader(b []byte, md metadata.MD) []byte {
	b = append(b, fieldHeader<<3|2)
	b = protowire.AppendVarint(b, uint64(metadataSize(md)))
	return appendPairs(b, md)
}

// Tail is a response tail to be sent. Details is an encoded google.rpc.Status.
type Tail struct {
	Code    uint32
	Message string
	Details []byte
	Trailer metadata.MD
	Refused bool
}

// AppendEnd appends an end part.
func AppendEnd(b []byte, t Tail) []byte {
	st := sizeString(t.Message)
	if t.Code != 0 {
		st += 1 + protowire.SizeVarint(uint64(t.Code))
	}
	if len(t.Details) > 0 {
		st += 1 + protowire.SizeBytes(len(t.Details))
	}
	md := metadataSize(t.Trailer)
	size := 0
	if st > 0 {
		size += 1 + protowire.SizeBytes(st)
	}
	if md > 0 {
		size += 1 + protowire.SizeBytes(md)
	}
	if t.Refused {
		size += 2
	}
	b = append(b, fieldEnd<<3|2)
	b = protowire.AppendVarint(b, uint64(size))
	if st > 0 {
		b = append(b, 1<<3|2)
		b = protowire.AppendVarint(b, uint64(st))
		if t.Code != 0 {
			b = appendUint(b, 1, uint64(t.Code))
		}
		b = appendString(b, 2, t.Message)
		if len(t.Details) > 0 {
			b = appendBytes(b, 3, t.Details)
		}
	}
	if md > 0 {
		b = append(b, 2<<3|2)
		b = protowire.AppendVarint(b, uint64(md))
		b = appendPairs(b, t.Trailer)
	}
	if t.Refused {
		b = appendBool(b, 3)
	}
	return b
}

// pairSize is the size of a Pair's body.
func pairSize(key, value string) int { return sizeString(key) + sizeString(value) }

func metadataSize(md metadata.MD) int {
	size := 0
	for k, vs := range md {
		for _, v := range vs {
			size += 1 + protowire.SizeBytes(pairSize(k, v))
		}
	}
	return size
}

func appendPairs(b []byte, md metadata.MD) []byte {
	for k, vs := range md {
		for _, v := range vs {
			b = append(b, 1<<3|2)
			b = protowire.AppendVarint(b, uint64(pairSize(k, v)))
			b = appendString(b, 1, k)
			b = appendString(b, 2, v)
		}
	}
	return b
}

func appendUint(b []byte, num protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, num, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

func appendBool(b []byte, num protowire.Number) []byte { return appendUint(b, num, 1) }

func appendBytes(b []byte, num protowire.Number, v []byte) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendBytes(b, v)
}

// sizeString and appendString leave an empty string out, as proto3 does. They
// are for field numbers below 16.
func sizeString(s string) int {
	if s == "" {
		return 0
	}
	return 1 + protowire.SizeBytes(len(s))
}

func appendString(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendString(b, s)
}
