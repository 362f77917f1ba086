package java

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// Body is the body of a frame (SPBody). The slices are encoded; nil means that the
// field is not there.
type Body struct {
	Service, Method string
	Parameters      []byte // of a request: an array; see ParseArgs
	Content         []byte // of an answer: a value; see Parse
	ParameterTypes  []byte // an array; brpc-java never sends it
	Attachments     []byte // a map; brpc-java never sends it
}

// The numbers of a body's fields.
const (
	fieldService        = 1
	fieldMethod         = 2
	fieldParameters     = 3
	fieldContent        = 4
	fieldParameterTypes = 5
	fieldAttachments    = 6
)

// Append appends the encoded body to b.
func (m *Body) Append(b []byte) []byte {
	for _, f := range [...]struct {
		number protowire.Number
		text   string
	}{{fieldService, m.Service}, {fieldMethod, m.Method}} {
		if f.text != "" {
			b = protowire.AppendTag(b, f.number, protowire.BytesType)
			b = protowire.AppendString(b, f.text)
		}
	}
	for _, f := range [...]struct {
		number protowire.Number
		value  []byte
	}{
		{fieldParameters, m.Parameters},
		{fieldContent, m.Content},
		{fieldParameterTypes, m.ParameterTypes},
		{fieldAttachments, m.Attachments},
	} {
		if f.value != nil {
			b = protowire.AppendTag(b, f.number, protowire.BytesType)
			b = protowire.AppendBytes(b, f.value)
		}
	}
	return b
}

// ParseBody reads a body. The slices are parts of b. As in Java, fields may come in
// any order, the last of a kind counts, and those of other numbers are skipped.
func ParseBody(b []byte) (m Body, err error) {
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return m, errorf("body: bad tag: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if number > fieldAttachments {
			if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
				return m, errorf("body: field %d: %w", number, protowire.ParseError(n))
			}
			b = b[n:]
			continue
		}
		// The reader goes by the number, whatever the wire type says.
		v, n := protowire.ConsumeBytes(b)
		if n < 0 || wire != protowire.BytesType {
			return m, errorf("body: field %d is no string or message", number)
		}
		b = b[n:]
		switch number {
		case fieldService:
			m.Service = DecodeString(v)
		case fieldMethod:
			m.Method = DecodeString(v)
		case fieldParameters:
			m.Parameters = v
		case fieldContent:
			m.Content = v
		case fieldParameterTypes:
			m.ParameterTypes = v
		case fieldAttachments:
			m.Attachments = v
		}
	}
	return m, nil
}
