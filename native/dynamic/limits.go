package dynamic

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// What a message may hold, in either direction. Limits beyond these are those of the
// server, for messages, and of the native protocol.
const (
	// MaxValues is how many values, entries and fields.
	MaxValues = 1 << 17
	// MaxDepth is how deeply values are nested, the fields of objects counted in.
	MaxDepth = java.DefaultDepth
)

var errTooMany = fmt.Errorf("more than %d values, entries and fields", MaxValues)

var errTooDeep = fmt.Errorf("values nested deeper than %d", MaxDepth)

var errMalformed = errors.New("it is no encoded message")

// maxMessageDepth is how deeply messages are nested at most in a value of MaxDepth: an
// entry of a map, and a map, are between a value and the next.
const maxMessageDepth = 1 + 3*MaxDepth

// bounded reports an error if an encoded message of type d holds more than it may. It is
// for what has not been decoded: a value takes many times more room in memory than on
// the wire.
func bounded(b []byte, d protoreflect.MessageDescriptor) error {
	left := 2 * MaxValues // a value that has parts is two messages
	return scan(b, d, maxMessageDepth, &left)
}

func scan(b []byte, d protoreflect.MessageDescriptor, depth int, left *int) error {
	if depth == 0 {
		return errTooDeep
	}
	fields := d.Fields()
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
			return errMalformed
		}
		value := b[:n]
		b = b[n:]
		f := fields.ByNumber(number)
		if f == nil || f.Message() == nil || wire != protowire.BytesType {
			continue
		}
		if *left--; *left < 0 {
			return errTooMany
		}
		inner, _ := protowire.ConsumeBytes(value)
		if err := scan(inner, f.Message(), depth-1, left); err != nil {
			return err
		}
	}
	return nil
}
