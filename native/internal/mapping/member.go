package mapping

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// idOf returns the type of a value.
func idOf(v []byte) (protowire.Number, error) {
	id, _, n := protowire.ConsumeTag(v)
	if n < 0 {
		return 0, errors.New("a value without a type")
	}
	return id, nil
}

// describe names a type of the wire.
func describe(id protowire.Number) string {
	for k, i := range ids {
		if i == id && kind(k) < kindEnum {
			return "a " + boxedClasses[k]
		}
	}
	switch id {
	case java.IDEnum:
		return "an enum constant"
	case java.IDCollection, java.IDEnumSet, java.IDWrappedList:
		return "a collection"
	case java.IDMap, java.IDEnumMap, java.IDWrappedMap:
		return "a map"
	case java.IDArray:
		return "an array"
	case java.IDThrowable:
		return "a throwable"
	}
	return fmt.Sprintf("a value of type %d", id)
}

// member returns the member of a message of shape ANY_OF that takes a value.
func (m *message) member(v []byte) (*field, error) {
	id, err := idOf(v)
	if err != nil {
		return nil, err
	}
	var class string
	switch id {
	case java.IDPOJO:
		if _, class, _, err = java.ClassName(v); err != nil {
			return nil, err
		}
	case java.IDEnum:
		r, _, err := nextRecord(v)
		if err != nil {
			return nil, err
		}
		class = java.DecodeString(r.bytes)
	}
	var other *field
	for _, f := range m.fields {
		switch {
		case f.kind == kindObject:
			if id == java.IDPOJO && f.msg.class == class {
				return f, nil
			}
		case f.kind == kindEnum:
			if id == java.IDEnum && f.enum.class == class {
				return f, nil
			}
		case f.kind == kindWrapped:
			inner := f.msg.fields[0].container
			if inner == array && id == java.IDArray || (inner == list || inner == set) && isCollection(id) || inner == dict && isMap(id) {
				return f, nil
			}
		case f.kind.dynamic():
			other = f
		case ids[f.kind] == id:
			return f, nil
		}
	}
	if other != nil {
		return other, nil
	}
	what := describe(id)
	if class != "" {
		what = "class " + class
	}
	return nil, fmt.Errorf("%s is no member of %s: add it, or a member of type pushtunnel.java.v1.Value", what, m.name)
}

func isCollection(id protowire.Number) bool {
	return id == java.IDCollection || id == java.IDEnumSet || id == java.IDWrappedList
}

func isMap(id protowire.Number) bool {
	return id == java.IDMap || id == java.IDEnumMap || id == java.IDWrappedMap
}

func kindOf(id protowire.Number) kind {
	if id == java.IDClassMapped {
		return kindClass
	}
	for k, i := range ids {
		if i == id {
			return kind(k)
		}
	}
	return kindObject
}

// widens reports whether a value of a type goes into one of the kind, as Java
// lets it.
func (k kind) widens(id protowire.Number) bool {
	if ids[k] == id {
		return true
	}
	switch k {
	case kindShort:
		return id == java.IDByte
	case kindInt:
		return id == java.IDByte || id == java.IDShort || id == java.IDChar
	case kindLong:
		return id == java.IDByte || id == java.IDShort || id == java.IDChar || id == java.IDInt
	case kindClass:
		return id == java.IDClassMapped
	default:
	}
	return false
}
