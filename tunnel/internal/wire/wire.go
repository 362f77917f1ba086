// Package wire encodes and decodes the frames of proto/pushtunnel.proto by
// hand. It writes the same bytes as the generated code would and reads
// everything that the generated code can read, without allocating: a decoded
// frame is a view of the batch that it came in. A test compares the two.
//
// The package is pure: no I/O, no clock, no state.
package wire

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of the protocol, the same for everybody.
const (
	// MaxBatch is the size in bytes above which a batch is a protocol error.
	MaxBatch = 1 << 20
	// MaxPiece is the size in bytes above which a message piece is a protocol error.
	MaxPiece = 64 << 10
	// MaxMetadata is the highest metadata limit, in bytes, that an end may announce.
	MaxMetadata = 256 << 10
	// MessageOverhead is what a message costs of the window besides its bytes.
	MessageOverhead = 64
	// PairOverhead is what a metadata pair costs of the metadata limit besides
	// its key and value.
	PairOverhead = 32
	// MinCallWindow is the smallest window that an end may announce.
	MinCallWindow = 1024
	// Version is the protocol version that this package speaks.
	Version = 1
)

// Field numbers of Frame.
const (
	fieldCallID      = 1
	fieldBegin       = 2
	fieldHeader      = 3
	fieldMessage     = 4
	fieldMessageSize = 5
	fieldCompressed  = 6
	fieldBlocked     = 7
	fieldHalfClose   = 8
	fieldEnd         = 9
	fieldCancel      = 10
	fieldWindow      = 11
	fieldHello       = 12
	fieldPing        = 13
	fieldPong        = 14
	fieldReceived    = 15
	fieldGoAway      = 16
	fieldDone        = 17
	fieldClose       = 18
	fieldCritical    = 19
)

// Parts says which parts a frame has.
type Parts uint16

// The parts of a frame. PartReceived and all after it are about the session.
const (
	PartBegin Parts = 1 << iota
	PartHeader
	PartMessage
	PartHalfClose
	PartEnd
	PartCancel
	PartWindow
	PartReceived
	PartHello
	PartPing
	PartPong
	PartGoAway
	PartDone
	PartClose

	// CallParts are the parts that go with a call id.
	CallParts = PartBegin | PartHeader | PartMessage | PartHalfClose | PartEnd | PartCancel | PartWindow
)

// String returns the names of the parts.
func (p Parts) String() string {
	names := [...]string{
		"begin", "header", "message", "half_close", "end", "cancel", "window",
		"received", "hello", "ping", "pong", "go_away", "done", "close",
	}
	var out []string
	for i, name := range names {
		if p&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	if out == nil {
		return "nothing"
	}
	return strings.Join(out, "+")
}

// Frame is one decoded frame. Its byte slices alias the input.
type Frame struct {
	CallID   uint64
	Parts    Parts
	Critical bool

	Begin  Begin
	Header []byte // an encoded Metadata, see EachPair

	Message     []byte
	MessageSize uint64
	Compressed  bool
	Blocked     bool

	End      End
	Window   uint64
	Received uint64
	Ping     uint64
	Pong     uint64

	// Rare parts stay encoded, for the generated code to read.
	Hello  []byte
	GoAway []byte
	Close  []byte
}

// Begin is the decoded request head.
type Begin struct {
	Method     []byte
	Metadata   []byte // an encoded Metadata, see EachPair
	Timeout    uint64 // microseconds
	HasTimeout bool
	Codec      []byte
	Compressor []byte
}

// End is the decoded response tail.
type End struct {
	Code    uint32
	Message []byte
	Details []byte
	Trailer []byte // an encoded Metadata, see EachPair
	Refused bool
}

// Errors of the decoder. All of them mean that the peer is broken.
var (
	errTruncated = errors.New("truncated or malformed protobuf")
	errTwice     = errors.New("a part stands twice in one frame")
)

// NextFrame cuts the next frame off a batch. frame is nil at the end of the
// batch. Unknown fields of the batch are skipped.
func NextFrame(batch []byte) (frame, rest []byte, err error) {
	for len(batch) > 0 {
		num, typ, n := protowire.ConsumeTag(batch)
		if n < 0 {
			return nil, nil, errTruncated
		}
		batch = batch[n:]
		if num == 1 && typ == protowire.BytesType {
			v, n := protowire.ConsumeBytes(batch)
			if n < 0 {
				return nil, nil, errTruncated
			}
			if v == nil {
				v = []byte{}
			}
			return v, batch[n:], nil
		}
		n = protowire.ConsumeFieldValue(num, typ, batch)
		if n < 0 {
			return nil, nil, errTruncated
		}
		batch = batch[n:]
	}
	return nil, nil, nil
}

// Unmarshal sets f to the frame encoded in b. It fails if b is not well-formed
// or says something twice; f is then undefined.
func (f *Frame) Unmarshal(b []byte) error {
	*f = Frame{}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errTruncated
		}
		b = b[n:]
		switch typ {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return errTruncated
			}
			b = b[n:]
			f.setVarint(num, v)
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return errTruncated
			}
			b = b[n:]
			if err := f.setBytes(num, v); err != nil {
				return err
			}
		default:
			n := protowire.ConsumeFieldValue(num, typ, b)
			if n < 0 {
				return errTruncated
			}
			b = b[n:]
		}
	}
	return nil
}

func (f *Frame) setVarint(num protowire.Number, v uint64) {
	switch num {
	case fieldCallID:
		f.CallID = v
	case fieldMessageSize:
		f.MessageSize = v
	case fieldCompressed:
		f.Compressed = v != 0
	case fieldBlocked:
		f.Blocked = v != 0
	case fieldHalfClose:
		f.flag(PartHalfClose, v)
	case fieldCancel:
		f.flag(PartCancel, v)
	case fieldWindow:
		f.Window = v
		f.flag(PartWindow, v)
	case fieldPing:
		f.Ping = v
		f.flag(PartPing, v)
	case fieldPong:
		f.Pong = v
		f.flag(PartPong, v)
	case fieldReceived:
		f.Received = v
		f.flag(PartReceived, v)
	case fieldDone:
		f.flag(PartDone, v)
	case fieldCritical:
		f.Critical = v != 0
	}
}

// flag sets or clears a part whose zero value means that it is absent.
func (f *Frame) flag(p Parts, v uint64) {
	if v != 0 {
		f.Parts |= p
	} else {
		f.Parts &^= p
	}
}

func (f *Frame) setBytes(num protowire.Number, v []byte) error {
	part := Parts(0)
	switch num {
	case fieldBegin:
		part = PartBegin
	case fieldHeader:
		part, f.Header = PartHeader, v
	case fieldMessage:
		part, f.Message = PartMessage, v
	case fieldEnd:
		part = PartEnd
	case fieldHello:
		part, f.Hello = PartHello, v
	case fieldGoAway:
		part, f.GoAway = PartGoAway, v
	case fieldClose:
		part, f.Close = PartClose, v
	default:
		return nil
	}
	if f.Parts&part != 0 {
		return errTwice
	}
	f.Parts |= part
	switch part {
	case PartBegin:
		return f.Begin.unmarshal(v)
	case PartEnd:
		return f.End.unmarshal(v)
	}
	return nil
}

// fields calls varint and bytes for each field of a message, and skips others.
func fields(b []byte, varint func(protowire.Number, uint64), bytes func(protowire.Number, []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errTruncated
		}
		b = b[n:]
		switch typ {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return errTruncated
			}
			b = b[n:]
			varint(num, v)
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return errTruncated
			}
			b = b[n:]
			if err := bytes(num, v); err != nil {
				return err
			}
		default:
			n := protowire.ConsumeFieldValue(num, typ, b)
			if n < 0 {
				return errTruncated
			}
			b = b[n:]
		}
	}
	return nil
}

// once sets *p to v, and fails if it is set already.
func once(p *[]byte, v []byte) error {
	if *p != nil {
		return errTwice
	}
	if v == nil {
		v = []byte{}
	}
	*p = v
	return nil
}

func (m *Begin) unmarshal(b []byte) error {
	return fields(b, func(num protowire.Number, v uint64) {
		if num == 3 {
			m.Timeout, m.HasTimeout = v, true
		}
	}, func(num protowire.Number, v []byte) error {
		switch num {
		case 1:
			return once(&m.Method, v)
		case 2:
			return once(&m.Metadata, v)
		case 4:
			return once(&m.Codec, v)
		case 5:
			return once(&m.Compressor, v)
		}
		return nil
	})
}

func (m *End) unmarshal(b []byte) error {
	var st []byte
	err := fields(b, func(num protowire.Number, v uint64) {
		if num == 3 {
			m.Refused = v != 0
		}
	}, func(num protowire.Number, v []byte) error {
		switch num {
		case 1:
			return once(&st, v)
		case 2:
			return once(&m.Trailer, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return fields(st, func(num protowire.Number, v uint64) {
		if num == 1 {
			m.Code = uint32(v) //nolint:gosec // protobuf truncates too
		}
	}, func(num protowire.Number, v []byte) error {
		switch num {
		case 2:
			return once(&m.Message, v)
		case 3:
			return once(&m.Details, v)
		}
		return nil
	})
}

// EachPair calls f for each pair of an encoded Metadata. The slices alias b.
func EachPair(b []byte, f func(key, value []byte)) error {
	return fields(b, func(protowire.Number, uint64) {}, func(num protowire.Number, v []byte) error {
		if num != 1 {
			return nil
		}
		var key, value []byte
		err := fields(v, func(protowire.Number, uint64) {}, func(num protowire.Number, v []byte) error {
			switch num {
			case 1:
				return once(&key, v)
			case 2:
				return once(&value, v)
			}
			return nil
		})
		if err != nil {
			return err
		}
		f(key, value)
		return nil
	})
}

// Check reports whether the parts of f may stand together: those of a call
// with a call id, those of a session without, and piece attributes only beside
// a message.
func (f *Frame) Check() error {
	switch {
	case f.CallID == 0 && f.Parts&CallParts != 0:
		return errors.New("a call's part without a call id")
	case f.CallID != 0 && f.Parts&^CallParts != 0:
		return errors.New("a session's part with a call id")
	case len(f.Message) > MaxPiece:
		return fmt.Errorf("a message piece of %d bytes, above the limit of %d", len(f.Message), MaxPiece)
	case f.Parts&PartMessage == 0 && (f.MessageSize != 0 || f.Compressed || f.Blocked):
		return errors.New("message attributes without a message")
	case f.MessageSize != 0 && f.MessageSize <= uint64(len(f.Message)):
		return errors.New("a message size that its first piece reaches")
	case f.Parts == 0 && f.Critical:
		return errors.New("a critical frame of a kind that this end does not know")
	}
	return nil
}
