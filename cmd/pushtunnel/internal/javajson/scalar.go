package javajson

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// The names of types whose numbers have a size of their own, as those of the components
// of arrays, and the tags of values of these types.
var tagOf = map[string]string{
	"byte": "@byte", "short": "@short", "char": "@char", "int": "@int", "long": "@long", "float": "@float", "double": "@double",
	"java.lang.Byte": "@byte", "java.lang.Short": "@short", "java.lang.Character": "@char", "java.lang.Integer": "@int",
	"java.lang.Long": "@long", "java.lang.Float": "@float", "java.lang.Double": "@double",
}

// scalar reads the content of a tag that is one of a value without parts. ok is false if
// the tag is none.
func scalar(tag string, content any) (v any, ok bool, err error) {
	switch tag {
	case "@byte", "@short", "@char", "@int", "@long", "@float", "@double":
		v, err = number(tag, content)
	case "@bytes", "@bytestring":
		text, _ := content.(string)
		var b []byte
		if b, err = base64.StdEncoding.DecodeString(text); err != nil || !is[string](content) {
			return nil, true, fmt.Errorf("%s is bytes in base64", tag)
		}
		if v = b; tag == "@bytestring" {
			v = java.ByteString(b)
		}
	case "@decimal":
		text, isText := textOf(content)
		d := java.BigDecimal(text)
		if !isText || !d.Valid() {
			return nil, true, fmt.Errorf(`@decimal is a number or its text, as "1.50"`)
		}
		v = d
	case "@biginteger":
		text, _ := textOf(content)
		i, isNumber := new(big.Int).SetString(text, 10)
		if !isNumber || len(text) > maxDigits {
			return nil, true, fmt.Errorf("@biginteger is an integer or its text, of %d digits at most", maxDigits)
		}
		v = i
	case "@date":
		v, err = date(content)
	default:
		return nil, false, nil
	}
	return v, true, err
}

// maxDigits is how long a BigInteger is at most.
const maxDigits = 160_000

func is[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

// textOf returns a string, or a number as it is written.
func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// number reads a number of the type that a tag says.
func number(tag string, content any) (any, error) {
	text, ok := textOf(content)
	if tag == "@char" {
		if units := utf16.Encode([]rune(text)); is[string](content) && len(units) == 1 {
			return java.Char(units[0]), nil
		}
		ok = is[json.Number](content)
	}
	bad := func(what string) error { return fmt.Errorf("%s is %s", tag, what) }
	integer := func(bits int) (int64, error) {
		i, err := strconv.ParseInt(text, 10, bits)
		if err != nil || !ok {
			return 0, bad(fmt.Sprintf("an integer of %d bits", bits))
		}
		return i, nil
	}
	switch tag {
	case "@byte":
		i, err := integer(8)
		return int8(i), err //nolint:gosec // it fits
	case "@short":
		i, err := integer(16)
		return int16(i), err //nolint:gosec // it fits
	case "@int":
		i, err := integer(32)
		return int32(i), err //nolint:gosec // it fits
	case "@long":
		return integer(64)
	case "@char":
		u, err := strconv.ParseUint(text, 10, 16)
		if err != nil || !ok {
			return nil, bad("one UTF-16 unit, as text or as a number")
		}
		return java.Char(u), nil
	case "@float":
		f, err := float(text, 32)
		if err != nil || !ok {
			return nil, bad("a number of single precision")
		}
		if math.IsNaN(f) {
			return math.Float32frombits(nan32), nil
		}
		return float32(f), nil
	}
	f, err := float(text, 64)
	if err != nil || !ok {
		return nil, bad("a number of double precision")
	}
	return f, nil
}

// What Java writes for a number that is none.
const (
	nan32 uint32 = 0x7fc00000
	nan64 uint64 = 0x7ff8000000000000
)

// float reads a floating-point number, or one of the words that Java has for what is none.
func float(text string, bits int) (float64, error) {
	switch text {
	case "NaN":
		return math.Float64frombits(nan64), nil
	case "Infinity", "-Infinity":
	default:
		if strings.Trim(text, "0123456789+-.eE") != "" {
			return 0, strconv.ErrSyntax // what Go reads besides
		}
	}
	return strconv.ParseFloat(text, bits)
}

// floatText writes a floating-point number. plain says that JSON has it as a number.
func floatText(f float64, bits int) (text string, plain bool) {
	switch {
	case math.IsNaN(f):
		return "NaN", false
	case math.IsInf(f, 1):
		return "Infinity", false
	case math.IsInf(f, -1):
		return "-Infinity", false
	}
	text = strconv.FormatFloat(f, 'g', -1, bits)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text, true
}

// floatTree is a floating-point number, or the word for what is none.
func floatTree(f float64, bits int) any {
	text, plain := floatText(f, bits)
	if plain {
		return json.Number(text)
	}
	return text
}

func date(content any) (time.Time, error) {
	bad := fmt.Errorf(`@date is a time as "2026-01-02T15:04:05.678Z", or milliseconds since 1970`)
	if n, ok := content.(json.Number); ok {
		ms, err := n.Int64()
		if err != nil {
			return time.Time{}, bad
		}
		return time.UnixMilli(ms).UTC(), nil
	}
	text, _ := content.(string)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Nanosecond()%1e6 != 0 {
		return time.Time{}, bad
	}
	return t.UTC(), nil
}

func dateTree(t time.Time) any {
	t = t.UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return json.Number(strconv.FormatInt(t.UnixMilli(), 10))
	}
	return t.Format("2006-01-02T15:04:05.999Z07:00")
}

func charTree(c java.Char) any {
	if utf16.IsSurrogate(rune(c)) {
		return intTree(int64(c))
	}
	return string(rune(c))
}

func intTree(i int64) json.Number { return json.Number(strconv.FormatInt(i, 10)) }
