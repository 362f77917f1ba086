package mapping

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// The fields of javapb.Value whose numbers are not those of the wire's types.
const (
	valueBytes   = 15
	valueScalars = 9 // the last that is
)

var valueKinds = [...]typ{
	1: {kind: kindBool, proto: protoreflect.BoolKind}, 2: {kind: kindByte, proto: protoreflect.Int32Kind},
	3: {kind: kindChar, proto: protoreflect.Uint32Kind}, 4: {kind: kindShort, proto: protoreflect.Int32Kind},
	5: {kind: kindInt, proto: protoreflect.Int32Kind}, 6: {kind: kindLong, proto: protoreflect.Int64Kind},
	7: {kind: kindFloat, proto: protoreflect.FloatKind}, 8: {kind: kindDouble, proto: protoreflect.DoubleKind},
	9: {kind: kindString, proto: protoreflect.StringKind},
}

// appendValue appends what is in a javapb.Value.
func appendValue(b, in []byte) (out []byte, null bool, err error) {
	var last record
	for len(in) > 0 {
		r, rest, err := nextRecord(in)
		if err != nil {
			return nil, false, err
		}
		if r.number == valueBytes || r.number <= valueScalars {
			last = r
		}
		in = rest
	}
	switch {
	case last.number == 0:
		return b, true, nil
	case last.number == valueBytes:
		// It is written anew, since Java writes some values that it cannot read.
		v, err := java.Parse(last.bytes, java.Limits{})
		if err == nil {
			out, err = java.Append(b, v)
		}
		if err != nil {
			return nil, false, fmt.Errorf("encoded: %w", err)
		}
		return out, false, nil
	}
	t := &valueKinds[last.number]
	if last.wire != wireOf(t.proto) {
		return nil, false, errors.New("a Value that is none")
	}
	out, err = t.appendScalar(b, ids[t.kind], last)
	return out, false, err
}

// fromValue appends the field of a javapb.Value that a value with its type is.
func fromValue(b, v []byte) ([]byte, error) {
	id, err := idOf(v)
	if err != nil {
		return nil, err
	}
	if id <= valueScalars {
		return valueKinds[id].fromOneDynamic(b, id, v, 0)
	}
	if _, err := java.Parse(v, java.Limits{}); err != nil {
		return nil, err
	}
	return protowire.AppendBytes(protowire.AppendTag(b, valueBytes, protowire.BytesType), v), nil
}
