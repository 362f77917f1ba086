package javajson

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// fieldsOf reads the fields of an object: the keys that are no tags.
func fieldsOf(o *object) (out []java.Field, err error) {
	for _, key := range o.keys {
		if tagged(key) {
			continue
		}
		n, err := strconv.ParseUint(key, 10, 29)
		number := protowire.Number(n) //nolint:gosec // of 29 bits
		if err != nil || !number.IsValid() || key[0] == '0' {
			return nil, fmt.Errorf(`%q is no field: fields have numbers, in the order of their declaration from 1; a Map in a field that is declared as Object is {"@value": {…}}`, key)
		}
		list, ok := o.get(key).([]any)
		if !ok {
			if o.get(key) == nil {
				continue
			}
			list = []any{o.get(key)}
		}
		for _, elem := range list {
			f, err := field(elem)
			if err != nil {
				return nil, fmt.Errorf("field %d: %w", number, err)
			}
			f.Number = number
			out = append(out, f)
		}
	}
	return out, nil
}

var errTyped = errors.New(`a field that is declared as List or Set is [ELEMENT, …], as Map {"1": [{"1": KEY, "2": VALUE}, …]}, as an enum the ordinal; in a field that is declared as Object this is {"@value": …}`)

// field reads the value of a field, or an element of one that is a collection.
func field(tree any) (f java.Field, err error) {
	switch tree := tree.(type) {
	case nil:
		return f, errors.New("an element is null: Java does not send null in collections")
	case bool:
		return varint(protowire.EncodeBool(tree)), nil
	case json.Number:
		if strings.ContainsAny(tree.String(), ".eE") {
			return scalarField("@double", tree)
		}
		return scalarField("@long", tree)
	case string:
		return java.Field{Type: protowire.BytesType, Value: []byte(tree)}, nil
	case *object:
		return objectField(tree)
	}
	return f, fmt.Errorf(`an element of a collection that is a collection is {"@value": […]}`)
}

func varint(x uint64) java.Field {
	return java.Field{Type: protowire.VarintType, Value: protowire.AppendVarint(nil, x)}
}

func objectField(o *object) (f java.Field, err error) {
	tag, err := o.tag()
	if err != nil {
		return f, err
	}
	f.Type = protowire.BytesType
	var v any
	switch tag {
	case "": // the fields of an object whose class the field's declaration says
		fields, err := fieldsOf(o)
		if err == nil {
			f.Value, err = java.AppendFields(nil, fields)
		}
		return f, err
	case "@fixed32", "@fixed64":
		return fixed(tag, o.get(tag))
	case "@list", "@map", "@enum", "@enumset", "@enummap", "@object":
		return f, errTyped
	case "@value":
		v, err = value(o.get(tag), "")
	case "@class", "@throwable", "@array", "@type": // the value says its own type
		v, err = fromObject(o)
	default:
		return scalarField(tag, o.get(tag))
	}
	if err == nil {
		f.Value, err = java.Append(nil, v)
	}
	return f, err
}

// scalarField is a field of a value without parts. It is written as the value itself, but
// without the type.
func scalarField(tag string, content any) (f java.Field, err error) {
	v, _, err := scalar(tag, content)
	if err != nil {
		return f, err
	}
	encoded, err := java.Append(nil, v)
	if err != nil {
		return f, err
	}
	_, wire, n := protowire.ConsumeTag(encoded)
	f = java.Field{Type: wire, Value: encoded[n:]}
	if wire == protowire.BytesType {
		f.Value, _ = protowire.ConsumeBytes(f.Value)
	}
	return f, nil
}

// fixed is a field of bits that are neither a number nor a time.
func fixed(tag string, content any) (f java.Field, err error) {
	text, ok := textOf(content)
	bits := 32
	if tag == "@fixed64" {
		bits = 64
	}
	x, err := strconv.ParseUint(text, 10, bits)
	if err != nil || !ok {
		return f, fmt.Errorf("%s is an integer of %d bits without a sign", tag, bits)
	}
	if bits == 32 {
		return java.Field{Type: protowire.Fixed32Type, Value: binary.LittleEndian.AppendUint32(nil, uint32(x))}, nil //nolint:gosec // it fits
	}
	return java.Field{Type: protowire.Fixed64Type, Value: binary.LittleEndian.AppendUint64(nil, x)}, nil
}
