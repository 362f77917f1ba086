package mapping

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pushtunnel/pushtunnel/native/java"
	javapb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/java/v1"
)

// fromDynamic appends the fields of the message that a value with its type is.
func (m *message) fromDynamic(b, v []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	switch m.shape {
	case javapb.MessageForm_VALUE:
		return m.fields[0].fromDynamic(b, v, depth+1)
	case javapb.MessageForm_ANY_OF:
		f, err := m.member(v)
		if err != nil {
			return nil, err
		}
		return f.fromDynamic(b, v, depth+1)
	default:
	}
	id, class, rest, err := java.ClassName(v)
	if err != nil {
		return nil, err
	}
	if id != java.IDPOJO {
		return nil, fmt.Errorf("%s, want an object of class %s", describe(id), m.class)
	}
	if class != m.class {
		return nil, fmt.Errorf("an object of class %s, want %s: a subclass is a member of a message of shape ANY_OF", class, m.class)
	}
	return m.fromFields(b, rest, depth+1)
}

// fromFields appends the fields of a message made of those of an object.
func (m *message) fromFields(b, in []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	for len(in) > 0 {
		r, rest, err := nextRecord(in)
		if err != nil {
			return nil, fmt.Errorf("class %s: %w", m.class, err)
		}
		in = rest
		f := m.java[r.number]
		if f == nil {
			continue // a field that this program does not know
		}
		if b, err = f.fromDeclared(b, r, depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// fromDeclared appends what one field of an object is: one element, if it is a
// collection.
func (f *field) fromDeclared(b []byte, r record, depth int) (out []byte, err error) {
	switch f.container {
	case array:
		if r.wire != protowire.BytesType {
			return nil, fmt.Errorf("%s: no array", f.name)
		}
		return f.fromDynamic(b, r.bytes, depth)
	case dict:
		if r.wire != protowire.BytesType {
			return nil, fmt.Errorf("%s: no map", f.name)
		}
		return f.fromEntries(b, r.bytes, depth, false)
	default:
	}
	if f.kind == kindWrapped && f.container == single {
		// The class declares what the message stands for; a collection comes one
		// element at a time, and protobuf merges the messages.
		return message1(b, f.number, func(b []byte) ([]byte, error) {
			return f.msg.fields[0].fromDeclared(b, r, depth+1)
		})
	}
	if out, err = f.fromOne(b, f.number, r, depth); err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	return out, nil
}

// message1 appends a field that is a message.
func message1(b []byte, n protowire.Number, inside func([]byte) ([]byte, error)) ([]byte, error) {
	b = protowire.AppendTag(b, n, protowire.BytesType)
	start := len(b)
	b, err := inside(append(b, 0))
	if err != nil {
		return nil, err
	}
	return fixLength(b, start), nil
}

// fromOne appends one value whose type is declared, as the field n.
func (t *typ) fromOne(b []byte, n protowire.Number, r record, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	if want := t.wire(); r.wire != want {
		return nil, fmt.Errorf("wire type %d, want %d", r.wire, want)
	}
	switch {
	case t.kind == kindObject:
		return message1(b, n, func(b []byte) ([]byte, error) { return t.msg.fromFields(b, r.bytes, depth+1) })
	case t.kind.dynamic() || t.kind == kindClass:
		return t.fromOneDynamic(b, n, r.bytes, depth)
	}
	return t.fromScalar(b, n, r)
}

// wire is the wire type that Java writes.
func (t *typ) wire() protowire.Type {
	switch t.kind {
	case kindBool, kindByte, kindChar, kindShort, kindInt, kindLong, kindEnum:
		return protowire.VarintType
	case kindFloat:
		return protowire.Fixed32Type
	case kindDouble, kindDate:
		return protowire.Fixed64Type
	default:
		return protowire.BytesType
	}
}

// fromDynamic appends what a value with its type is, as the field.
func (f *field) fromDynamic(b, v []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	if f.container == single {
		return f.fromOneDynamic(b, f.number, v, depth)
	}
	id, err := idOf(v)
	if err != nil {
		return nil, err
	}
	switch {
	case f.container == array && (id == java.IDArray || id == java.IDArrayMapped):
		return f.fromArray(b, v, depth)
	case f.container == dict && isMap(id):
		if id == java.IDWrappedMap {
			if v, err = rewrite(v); err != nil {
				return nil, err
			}
		}
		_, rest, err := nextRecord(v)
		if err != nil {
			return nil, err
		}
		return f.fromEntries(b, rest, depth, true)
	case (f.container == list || f.container == set) && isCollection(id):
		if id == java.IDWrappedList {
			if v, err = rewrite(v); err != nil {
				return nil, err
			}
		}
		_, rest, err := nextRecord(v)
		if err != nil {
			return nil, err
		}
		return f.fromElements(b, rest, depth)
	}
	return nil, fmt.Errorf("%s where %s has %s", describe(id), f.name,
		[...]string{"", "a collection", "a collection", "an array", "a map"}[f.container])
}

// rewrite turns one of the private classes of java.util.Collections into a plain
// one.
func rewrite(v []byte) ([]byte, error) {
	value, err := java.Parse(v, java.Limits{})
	if err != nil {
		return nil, err
	}
	return java.Append(nil, value)
}

func (f *field) fromArray(b, v []byte, depth int) ([]byte, error) {
	_, elems, err := java.ParseArray(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	for {
		e, ok, err := elems.Next()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if !ok {
			return b, nil
		}
		if b, err = f.fromOneDynamic(b, f.number, e, depth+1); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
}

func (f *field) fromElements(b, in []byte, depth int) ([]byte, error) {
	for len(in) > 0 {
		r, rest, err := nextRecord(in)
		if err == nil && (r.number != 1 || r.wire != protowire.BytesType) {
			err = fmt.Errorf("field %d where an element must be", r.number)
		}
		if err == nil {
			b, err = f.fromOneDynamic(b, f.number, r.bytes, depth+1)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		in = rest
	}
	return b, nil
}

// fromEntries appends the entries of a map. With types, keys and values carry
// theirs.
func (f *field) fromEntries(b, in []byte, depth int, types bool) ([]byte, error) {
	for len(in) > 0 {
		r, rest, err := nextRecord(in)
		if err == nil && (r.number != 1 || r.wire != protowire.BytesType) {
			err = fmt.Errorf("field %d where an entry must be", r.number)
		}
		if err == nil {
			b, err = message1(b, f.number, func(b []byte) ([]byte, error) { return f.fromEntry(b, r.bytes, depth+1, types) })
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		in = rest
	}
	return b, nil
}

func (f *field) fromEntry(b, in []byte, depth int, types bool) ([]byte, error) {
	for len(in) > 0 {
		r, rest, err := nextRecord(in)
		if err != nil {
			return nil, err
		}
		in = rest
		t := f.key
		switch r.number {
		case 1:
		case 2:
			t = &f.typ
		default:
			return nil, fmt.Errorf("field %d in an entry", r.number)
		}
		if types {
			if r.wire != protowire.BytesType {
				return nil, errors.New("a key or value without a type")
			}
			b, err = t.fromOneDynamic(b, r.number, r.bytes, depth)
		} else {
			b, err = t.fromOne(b, r.number, r, depth)
		}
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// fromOneDynamic appends what one value with its type is, as the field n.
func (t *typ) fromOneDynamic(b []byte, n protowire.Number, v []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	switch t.kind {
	case kindObject, kindAnyOf, kindWrapped:
		return message1(b, n, func(b []byte) ([]byte, error) { return t.msg.fromDynamic(b, v, depth+1) })
	case kindValue:
		return message1(b, n, func(b []byte) ([]byte, error) { return fromValue(b, v) })
	case kindEnum:
		return t.fromEnum(b, n, v)
	default:
	}
	r, rest, err := nextRecord(v)
	switch {
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return nil, fmt.Errorf("bytes after %s", describe(r.number))
	case !t.kind.widens(r.number):
		return nil, fmt.Errorf("%s, want %s", describe(r.number), describe(ids[t.kind]))
	}
	from := kindOf(r.number)
	if want := (&typ{kind: from}).wire(); r.wire != want {
		return nil, fmt.Errorf("wire type %d, want %d", r.wire, want)
	}
	if from == kindBool && r.bits > 1 {
		return nil, errors.New("a Boolean that is neither true nor false")
	}
	// A narrower number is written as it is.
	narrow := *t
	narrow.kind = from
	return narrow.fromScalar(b, n, r)
}
