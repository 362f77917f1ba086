package mapping

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pushtunnel/pushtunnel/native/java"
	javapb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/java/v1"
)

// maxDepth is how deeply messages may be nested.
const maxDepth = java.DefaultDepth

var errDepth = fmt.Errorf("messages nested deeper than %d", maxDepth)

// ids are the types of the scalars on the wire.
var ids = [...]protowire.Number{
	kindBool: java.IDBoolean, kindByte: java.IDByte, kindChar: java.IDChar, kindShort: java.IDShort, kindInt: java.IDInt,
	kindLong: java.IDLong, kindFloat: java.IDFloat, kindDouble: java.IDDouble, kindString: java.IDString,
	kindByteString: java.IDByteString, kindBytes: java.IDBytes, kindBigDecimal: java.IDBigDecimal,
	kindBigInteger: java.IDBigInteger, kindDate: java.IDDate, kindClass: java.IDClass, kindEnum: java.IDEnum,
	kindObject: java.IDPOJO, kindAnyOf: 0, kindWrapped: 0, kindValue: 0,
}

// recordsOf returns those of a field.
func recordsOf(rs []record, place int) []record {
	for i, r := range rs {
		if r.place == place {
			j := i + 1
			for j < len(rs) && rs[j].place == place {
				j++
			}
			return rs[i:j]
		}
	}
	return nil
}

// element appends a field with a length, unless what it holds is null.
func element(b []byte, number protowire.Number, inside func([]byte) ([]byte, bool, error)) (out []byte, null bool, err error) {
	out = protowire.AppendTag(b, number, protowire.BytesType)
	start := len(out)
	out, null, err = inside(append(out, 0))
	switch {
	case err != nil:
		return nil, false, err
	case null:
		return b, true, nil
	}
	return fixLength(out, start), false, nil
}

// appendFields appends the fields of an object.
func (m *message) appendFields(b, in []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	var room [8]record
	rs, err := m.records(in, room[:0])
	if err != nil {
		return nil, err
	}
	for _, f := range m.fields {
		n := 0
		for n < len(rs) && rs[n].place == f.place {
			n++
		}
		if b, err = f.appendDeclared(b, f.java, rs[:n], depth); err != nil {
			return nil, err
		}
		rs = rs[n:]
	}
	return b, nil
}

// appendDynamic appends a message as a value that carries its type.
func (m *message) appendDynamic(b, in []byte, depth int) (out []byte, null bool, err error) {
	if depth > maxDepth {
		return nil, false, errDepth
	}
	if m.shape == javapb.MessageForm_OBJECT {
		b = java.AppendString(protowire.AppendTag(b, java.IDPOJO, protowire.BytesType), m.class)
		b, err = m.appendFields(b, in, depth+1)
		return b, false, err
	}
	var room [8]record
	rs, err := m.records(in, room[:0])
	if err != nil {
		return nil, false, err
	}
	if m.shape == javapb.MessageForm_VALUE {
		return m.fields[0].appendDynamic(b, rs, depth+1)
	}
	if len(rs) == 0 {
		return b, true, nil
	}
	// Of a oneof the last one that came counts, and rs may be in another order; but
	// an encoder writes one.
	last := rs[len(rs)-1].place
	return m.fields[last].appendDynamic(b, recordsOf(rs, last), depth+1)
}

// appendDeclared appends a field as its class declares it: without its type, where
// that is known.
func (f *field) appendDeclared(b []byte, n protowire.Number, rs []record, depth int) ([]byte, error) {
	var err error
	switch f.container {
	case list, set:
		for _, r := range rs {
			if b, err = f.appendOne(b, n, f.name, r, depth); err != nil {
				return nil, err
			}
		}
		return b, nil
	case array:
		if rs == nil && f.presence {
			return b, nil
		}
		b, _, err = element(b, n, func(b []byte) ([]byte, bool, error) { return f.appendDynamic(b, rs, depth) })
		return b, err
	case dict:
		b, _, err = element(b, n, func(b []byte) ([]byte, bool, error) {
			b, err := f.appendEntries(b, rs, depth, false)
			return b, false, err
		})
		return b, err
	default:
		r, ok := f.merge(rs)
		if !ok {
			return b, nil
		}
		if f.kind == kindWrapped {
			// The class declares what the message stands for.
			var room [8]record
			inner, err := f.msg.records(r.bytes, room[:0])
			if err != nil {
				return nil, err
			}
			return f.msg.fields[0].appendDeclared(b, n, inner, depth+1)
		}
		b, err = f.appendOne(b, n, f.name, r, depth)
		return b, err
	}
}

// merge makes one of the records of a field that is not repeated. ok is false if
// it is null.
func (f *field) merge(rs []record) (r record, ok bool) {
	switch {
	case len(rs) == 0:
		return record{wire: wireOf(f.proto)}, !f.presence
	case len(rs) == 1 || f.proto != protoreflect.MessageKind:
		return rs[len(rs)-1], true
	}
	r = rs[0]
	r.bytes = append([]byte(nil), r.bytes...)
	for _, more := range rs[1:] {
		r.bytes = append(r.bytes, more.bytes...) // protobuf merges messages so
	}
	return r, true
}

// appendOne appends one value where its type is declared, unless it is null.
func (t *typ) appendOne(b []byte, n protowire.Number, name string, r record, depth int) (out []byte, err error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	switch {
	case t.kind == kindEnum:
		if t.boxed {
			if r, err = t.unwrap(r); err != nil {
				return nil, err
			}
		}
		ordinal, null, err := t.enum.ordinal(r.bits)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if null {
			return b, nil
		}
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(ordinal)), nil //nolint:gosec // not negative
	case t.kind == kindObject:
		out, _, err = element(b, n, func(b []byte) ([]byte, bool, error) {
			b, err := t.msg.appendFields(b, r.bytes, depth+1)
			return b, false, err
		})
		return out, err
	case t.kind.dynamic() || t.kind == kindClass:
		out, _, err = element(b, n, func(b []byte) ([]byte, bool, error) { return t.appendOneDynamic(b, name, r, depth) })
		return out, err
	}
	out, err = t.appendScalar(b, n, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

// appendOneDynamic appends one value with its type.
func (t *typ) appendOneDynamic(b []byte, name string, r record, depth int) (out []byte, null bool, err error) {
	switch t.kind {
	case kindObject, kindAnyOf, kindWrapped:
		return t.msg.appendDynamic(b, r.bytes, depth+1)
	case kindValue:
		out, null, err = appendValue(b, r.bytes)
	case kindEnum:
		if t.boxed {
			if r, err = t.unwrap(r); err != nil {
				break
			}
		}
		var ordinal int32
		if ordinal, null, err = t.enum.ordinal(r.bits); null || err != nil {
			out = b
			break
		}
		out = java.AppendString(protowire.AppendTag(b, java.IDEnum, protowire.BytesType), t.enum.class)
		out = protowire.AppendVarint(protowire.AppendTag(out, 1, protowire.VarintType), uint64(ordinal)) //nolint:gosec // not negative
	default:
		out, err = t.appendScalar(b, ids[t.kind], r)
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	return out, null, nil
}

// appendDynamic appends a field or parameter as a value that carries its type.
func (f *field) appendDynamic(b []byte, rs []record, depth int) (out []byte, null bool, err error) {
	if depth > maxDepth {
		return nil, false, errDepth
	}
	switch f.container {
	case single:
		r, ok := f.merge(rs)
		if !ok {
			return b, true, nil
		}
		return f.appendOneDynamic(b, f.name, r, depth)
	case dict:
		b = java.AppendString(protowire.AppendTag(b, java.IDMap, protowire.BytesType), f.class)
		b, err = f.appendEntries(b, rs, depth, true)
		return b, false, err
	case array:
		b = java.AppendArrayHeader(b, java.ArrayHeader{Component: f.class, Len: len(rs), Dims: dims(&f.typ)})
	default:
		b = java.AppendString(protowire.AppendTag(b, java.IDCollection, protowire.BytesType), f.class)
	}
	for _, r := range rs {
		b, _, err = element(b, 1, func(b []byte) ([]byte, bool, error) { return f.appendOneDynamic(b, f.name, r, depth+1) })
		if err != nil {
			return nil, false, err
		}
	}
	return b, false, nil
}

// appendEntries appends the entries of a map. With types, keys and values carry
// theirs.
func (f *field) appendEntries(b []byte, rs []record, depth int, types bool) ([]byte, error) {
	for _, r := range rs {
		key, value := record{wire: wireOf(f.key.proto)}, record{wire: wireOf(f.proto)}
		for in := r.bytes; len(in) > 0; {
			e, rest, err := nextRecord(in)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			switch {
			case e.number == 1 && e.wire == key.wire:
				key = e
			case e.number == 2 && e.wire == value.wire:
				value = e
			}
			in = rest
		}
		var err error
		b, _, err = element(b, 1, func(b []byte) ([]byte, bool, error) {
			for _, part := range [...]struct {
				t *typ
				n protowire.Number
				r record
			}{{f.key, 1, key}, {&f.typ, 2, value}} {
				var err error
				if types {
					b, _, err = element(b, part.n, func(b []byte) ([]byte, bool, error) {
						return part.t.appendOneDynamic(b, f.name, part.r, depth+1)
					})
				} else {
					b, err = part.t.appendOne(b, part.n, f.name, part.r, depth+1)
				}
				if err != nil {
					return nil, false, err
				}
			}
			return b, false, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}
