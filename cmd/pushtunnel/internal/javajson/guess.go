package javajson

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// setFields adds fields to an object, each number once, in the order in which they
// first come.
func setFields(o *object, fields []java.Field, depth int) error {
	for _, f := range fields {
		v, err := fieldTree(f, depth)
		if err != nil {
			return err
		}
		key := strconv.Itoa(int(f.Number))
		switch before := o.get(key).(type) {
		case nil:
			o.set(key, v)
		case []any:
			o.values[key] = append(before, v)
		default:
			o.values[key] = []any{before, v}
		}
	}
	return nil
}

// fieldTree chooses a form for a field. Its bytes do not say what they are: each form is
// read back as these bytes, so that nothing depends on the choice but how it looks.
func fieldTree(f java.Field, depth int) (any, error) {
	switch {
	case f.Type == protowire.VarintType:
		if x, n := protowire.ConsumeVarint(f.Value); n == len(f.Value) {
			return intTree(int64(x)), nil //nolint:gosec // the same bits
		}
	case f.Type == protowire.Fixed32Type && len(f.Value) == 4:
		bits := binary.LittleEndian.Uint32(f.Value)
		if v := math.Float32frombits(bits); v == v || bits == nan32 {
			return obj("@float", floatTree(float64(v), 32)), nil
		}
		return obj("@fixed32", json.Number(strconv.FormatUint(uint64(bits), 10))), nil
	case f.Type == protowire.Fixed64Type && len(f.Value) == 8:
		return fixed64Tree(binary.LittleEndian.Uint64(f.Value)), nil
	case f.Type == protowire.BytesType:
		return bytesTree(f.Value, depth), nil
	}
	return nil, fmt.Errorf("field %d has a form that Java does not write", f.Number)
}

// fixed64Tree shows a double or a Date. A time of our days is no number that anybody uses:
// one below 1e-300, or none.
func fixed64Tree(bits uint64) any {
	const farthest = 1 << 47                                           // ms: some 4,000 years
	if ms := int64(bits); ms != 0 && ms > -farthest && ms < farthest { //nolint:gosec // the same bits
		return obj("@date", dateTree(time.UnixMilli(ms)))
	}
	v := math.Float64frombits(bits)
	if v != v && bits != nan64 {
		return obj("@fixed64", json.Number(strconv.FormatUint(bits, 10)))
	}
	if text, plain := floatText(v, 64); plain {
		return json.Number(text)
	}
	return obj("@double", floatTree(v, 64))
}

// maxGuess is how deeply objects are looked for in fields.
const maxGuess = 32

// bytesTree shows text, an object, a value that says its type, or bytes.
func bytesTree(b []byte, depth int) any {
	text := utf8.Valid(b)
	control := func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\n\r", r) }
	if text && !bytes.ContainsFunc(b, unicode.IsControl) {
		return string(b)
	}
	if depth < maxGuess {
		for _, form := range []func([]byte, int) (any, bool){typedTree, nestedTree} {
			if tree, ok := form(b, depth+1); ok {
				if f, err := field(tree); err == nil && f.Type == protowire.BytesType && bytes.Equal(f.Value, b) {
					return tree
				}
			}
		}
	}
	if text && !bytes.ContainsFunc(b, control) {
		return string(b)
	}
	return obj("@bytes", base64.StdEncoding.EncodeToString(b))
}

// typedTree is the tree of a value that says its type, if it is one with the name of
// a class: others look like objects.
func typedTree(b []byte, depth int) (any, bool) {
	if number, _, n := protowire.ConsumeTag(b); n < 0 || number < java.IDArray {
		return nil, false
	}
	v, err := java.Parse(b, java.Limits{})
	if err != nil {
		return nil, false
	}
	tree, err := valueTree(v, "", depth)
	if err != nil {
		return nil, false
	}
	switch v.(type) {
	case java.POJO, java.Throwable, java.Array, java.Class:
		return tree, true
	}
	return obj("@value", tree), true
}

// nestedTree is the tree of an object whose class the field's declaration says.
func nestedTree(b []byte, depth int) (any, bool) {
	fields, err := java.ParseFields(b, java.Limits{})
	if err != nil {
		return nil, false
	}
	o := &object{}
	return o, setFields(o, fields, depth) == nil
}
