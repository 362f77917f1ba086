package javajson

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// Format returns a value as JSON on one line: one that java.Parse returns. Parse reads it
// back as the same value.
func Format(v any) ([]byte, error) {
	tree, err := valueTree(v, "", 0)
	if err != nil {
		return nil, err
	}
	return appendTree(nil, tree), nil
}

// valueTree is the inverse of value. depth counts what it is in.
func valueTree(v any, class string, depth int) (any, error) {
	if tree, tag := scalarTree(v); tag != "" {
		if plainly(tag, tree, class) {
			return tree, nil
		}
		return obj(tag, tree), nil
	}
	switch v := v.(type) {
	case nil, bool, string:
		return v, nil
	case java.Object:
		return obj("@object", &object{}), nil
	case java.Class:
		o := obj("@type", v.Name+strings.Repeat("[]", v.Dims))
		if strings.HasSuffix(v.Name, "[]") {
			o = obj("@type", v.Name).set("@dims", intTree(int64(v.Dims)))
		}
		return o, nil
	case java.Enum:
		return enumTree(v), nil
	case java.EnumSet:
		elems := []any{}
		for _, elem := range v.Elems {
			tree, err := constantTree(elem, v.Class, depth)
			if err != nil {
				return nil, err
			}
			elems = append(elems, tree)
		}
		return obj("@enumset", v.Class).set("@elements", elems), nil
	case java.EnumMap:
		entries, err := pairTrees(v.Entries, func(key any) (any, error) { return constantTree(key, v.Class, depth) }, depth)
		return obj("@enummap", v.Class).set("@entries", entries), err
	case java.List:
		elems, err := elementTrees(v.Elems, "", 1, depth)
		if v.Class == "ArrayList" || v.Class == "" {
			return elems, err
		}
		return obj("@list", elems).set("@class", v.Class), err
	case java.Map:
		return mapTree(v, depth)
	case java.Array:
		return arrayTree(v, depth)
	case java.POJO:
		o := obj("@class", v.Class)
		return o, setFields(o, v.Fields, depth)
	case java.Throwable:
		o := obj("@throwable", v.Class)
		return o, setFields(o, v.Fields, depth)
	}
	return nil, fmt.Errorf("a %T has no JSON form", v)
}

// plainly reports whether a value is read back without its tag. A long has one also if it
// is too large for an int, so that those who read it know where it is.
func plainly(tag string, tree any, class string) bool {
	if want := tagOf[class]; want != "" {
		return want == tag && (is[json.Number](tree) || tag == "@char")
	}
	return (tag == "@int" || tag == "@double") && is[json.Number](tree)
}

// scalarTree returns the content and the tag of a value that has both.
func scalarTree(v any) (content any, tag string) {
	switch v := v.(type) {
	case int8:
		return intTree(int64(v)), "@byte"
	case int16:
		return intTree(int64(v)), "@short"
	case java.Char:
		return charTree(v), "@char"
	case int32:
		return intTree(int64(v)), "@int"
	case int64:
		return intTree(v), "@long"
	case float32:
		return floatTree(float64(v), 32), "@float"
	case float64:
		return floatTree(v, 64), "@double"
	case []byte:
		return base64.StdEncoding.EncodeToString(v), "@bytes"
	case java.ByteString:
		return base64.StdEncoding.EncodeToString(v), "@bytestring"
	case java.BigDecimal:
		return string(v), "@decimal"
	case *big.Int:
		return v.String(), "@biginteger"
	case time.Time:
		return dateTree(v), "@date"
	}
	return nil, ""
}

// elementTrees are the elements of a collection, or of an array of a class.
func elementTrees(elems []any, class string, dims, depth int) ([]any, error) {
	out := []any{}
	for _, elem := range elems {
		if a, ok := elem.(java.Array); ok && dims > 1 && a.Component == class && a.Dims == dims-1 && a.Len <= len(a.Elems) {
			inner, err := elementTrees(a.Elems, class, a.Dims, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, inner)
			continue
		}
		component := class
		if dims > 1 {
			component = ""
		}
		tree, err := valueTree(elem, component, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, tree)
	}
	return out, nil
}

func arrayTree(a java.Array, depth int) (any, error) {
	elems, err := elementTrees(a.Elems, a.Component, a.Dims, depth)
	if err != nil {
		return nil, err
	}
	o := obj("@array", elems)
	if strings.HasSuffix(a.Component, "[]") {
		o.set("@class", a.Component).set("@dims", intTree(int64(a.Dims)))
	} else {
		o.set("@class", a.Component+strings.Repeat("[]", a.Dims))
	}
	if a.Len > len(a.Elems) {
		o.set("@length", intTree(int64(a.Len)))
	}
	return o, nil
}

// mapTree shows a map as a JSON object if its keys are strings, each once; and without a
// tag if it is a HashMap and no key looks like a tag.
func mapTree(m java.Map, depth int) (any, error) {
	o, plain := &object{}, m.Class == "HashMap" || m.Class == ""
	for _, e := range m.Entries {
		key, ok := e.Key.(string)
		if _, twice := o.values[key]; !ok || twice {
			entries, err := pairTrees(m.Entries, func(key any) (any, error) { return valueTree(key, "", depth+1) }, depth)
			return named("@map", entries, m.Class), err
		}
		v, err := valueTree(e.Value, "", depth+1)
		if err != nil {
			return nil, err
		}
		plain = plain && !tagged(key)
		o.set(key, v)
	}
	if plain {
		return o, nil
	}
	return named("@map", o, m.Class), nil
}

func named(tag string, content any, class string) *object {
	o := obj(tag, content)
	if class != "HashMap" && class != "" {
		o.set("@class", class)
	}
	return o
}

func pairTrees(entries []java.Entry, key func(any) (any, error), depth int) ([]any, error) {
	out := []any{}
	for _, e := range entries {
		k, err := key(e.Key)
		if err != nil {
			return nil, err
		}
		v, err := valueTree(e.Value, "", depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, []any{k, v})
	}
	return out, nil
}

func enumTree(e java.Enum) *object {
	o := obj("@enum", e.Class)
	if e.Name == "" || e.Ordinal != 0 {
		o.set("@ordinal", intTree(int64(e.Ordinal)))
	}
	if e.Name != "" {
		o.set("@name", e.Name)
	}
	return o
}

// constantTree is the inverse of constant.
func constantTree(v any, class string, depth int) (any, error) {
	e, ok := v.(java.Enum)
	switch {
	case !ok:
		return valueTree(v, "", depth+1)
	case e.Class == class && e.Name == "":
		return intTree(int64(e.Ordinal)), nil
	case e.Class == class && e.Ordinal == 0:
		return e.Name, nil
	}
	return enumTree(e), nil
}
