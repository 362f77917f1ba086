package javajson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// ParseArgs reads the arguments of a call: an array of values. Nothing means none.
func ParseArgs(data []byte) ([]any, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	tree, err := readTree(data)
	if err != nil {
		return nil, err
	}
	list, ok := tree.([]any)
	if !ok {
		return nil, errors.New("the arguments of a Java method are a JSON array, also if there is one: [ARGUMENT, …]")
	}
	args := make([]any, len(list))
	for i, elem := range list {
		if args[i], err = value(elem, ""); err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	return args, nil
}

// Parse reads a value.
func Parse(data []byte) (any, error) {
	tree, err := readTree(data)
	if err != nil {
		return nil, err
	}
	return value(tree, "")
}

// value makes a value of JSON. class is that of the array's components if it is in one,
// and decides about numbers.
func value(tree any, class string) (any, error) {
	switch tree := tree.(type) {
	case json.Number:
		return plainNumber(tree, class)
	case string:
		if tagOf[class] == "@char" {
			return number("@char", tree)
		}
	case []any:
		elems, err := elements(tree, "")
		return java.List{Class: "ArrayList", Elems: elems}, err
	case *object:
		return fromObject(tree)
	}
	return tree, nil // nil, bool, string
}

func plainNumber(n json.Number, class string) (any, error) {
	if tag := tagOf[class]; tag != "" {
		return number(tag, n)
	}
	if strings.ContainsAny(n.String(), ".eE") {
		return number("@double", n)
	}
	if v, err := number("@int", n); err == nil {
		return v, nil
	}
	v, err := number("@long", n)
	if err != nil {
		return nil, fmt.Errorf(`%s is too large for a long: say {"@biginteger": %s}`, n, n)
	}
	return v, nil
}

// elements reads the elements of a collection or array.
func elements(list []any, class string) (out []any, err error) {
	for i, elem := range list {
		v, err := value(elem, class)
		switch {
		case err != nil:
			return nil, err
		case v == nil:
			return nil, fmt.Errorf("element %d is null: Java does not send null in collections and arrays", i+1)
		}
		out = append(out, v)
	}
	return out, nil
}

// The tags that say what an object is, with those that may go along. Fields, by their
// numbers, go along with @class and @throwable.
var companions = map[string][]string{
	"@byte": nil, "@short": nil, "@char": nil, "@int": nil, "@long": nil, "@float": nil, "@double": nil,
	"@bytes": nil, "@bytestring": nil, "@decimal": nil, "@biginteger": nil, "@date": nil, "@object": nil,
	"@fixed32": nil, "@fixed64": nil, "@value": nil,
	"@type": {"@dims"}, "@list": {"@class"}, "@map": {"@class"}, "@array": {"@class", "@dims", "@length"},
	"@enum": {"@ordinal", "@name"}, "@enumset": {"@elements"}, "@enummap": {"@entries"},
	"@throwable": nil, "@class": nil,
}

// tag returns the tag that says what an object is, empty if it has none, and checks the
// other keys.
func (o *object) tag() (tag string, err error) {
	for _, key := range o.keys {
		if _, ok := companions[key]; ok && (tag == "" || tag == "@class") {
			tag = key
		}
	}
	withFields := tag == "@class" || tag == "@throwable"
	for _, key := range o.keys {
		switch {
		case key == tag || slices.Contains(companions[tag], key):
		case !tagged(key) && (tag == "" || withFields):
		case tag == "":
			return "", fmt.Errorf(`the tag %s is unknown; a HashMap with such a key is {"@map": {…}}`, key)
		default:
			return "", fmt.Errorf("%s and %s do not go together", tag, key)
		}
	}
	return tag, nil
}

func fromObject(o *object) (any, error) {
	tag, err := o.tag()
	if err != nil {
		return nil, err
	}
	content := o.get(tag)
	if v, ok, err := scalar(tag, content); ok {
		return v, err
	}
	switch tag {
	case "":
		return mapOf("", o)
	case "@list":
		list, ok := content.([]any)
		class, err := o.text("@class", "ArrayList")
		if !ok || err != nil {
			return nil, errors.Join(err, errors.New("@list is an array of its elements"))
		}
		elems, err := elements(list, "")
		return java.List{Class: class, Elems: elems}, err
	case "@map":
		class, err := o.text("@class", "HashMap")
		if err != nil {
			return nil, err
		}
		return mapOf(class, content)
	case "@array":
		return arrayOf(o)
	case "@class", "@throwable":
		class, ok := content.(string)
		if !ok || class == "" {
			return nil, fmt.Errorf(`%s is the name of a class`, tag)
		}
		fields, err := fieldsOf(o)
		if tag == "@throwable" {
			return java.Throwable{Class: class, Fields: fields}, err
		}
		return java.POJO{Class: class, Fields: fields}, err
	case "@object":
		if inner, ok := content.(*object); !ok || len(inner.keys) > 0 {
			return nil, errors.New(`a java.lang.Object is {"@object": {}}`)
		}
		return java.Object{}, nil
	case "@type":
		class, ok := content.(string)
		dims, err := o.int("@dims", -1)
		if !ok || class == "" || err != nil || dims > 255 {
			return nil, errors.New(`@type is the name of a class, as "int" or "java.lang.String[]"`)
		}
		if dims < 0 {
			class, dims = dimensions(class)
		}
		return java.Class{Name: class, Dims: dims}, nil
	case "@enum", "@enumset", "@enummap":
		return enumOf(tag, o)
	}
	return nil, fmt.Errorf("%s is for fields of objects", tag)
}

// text returns the string under a key.
func (o *object) text(key, otherwise string) (string, error) {
	v, there := o.values[key]
	s, ok := v.(string)
	switch {
	case !there:
		return otherwise, nil
	case !ok || s == "":
		return "", fmt.Errorf("%s is a text", key)
	}
	return s, nil
}

// int returns the int under a key, which is not negative.
func (o *object) int(key string, otherwise int) (int, error) {
	v, there := o.values[key]
	if !there {
		return otherwise, nil
	}
	n, err := number("@int", v)
	if i, ok := n.(int32); ok && err == nil && i >= 0 {
		return int(i), nil
	}
	return 0, fmt.Errorf("%s is an integer from 0", key)
}

// dimensions splits the name of an array's class.
func dimensions(class string) (component string, dims int) {
	for strings.HasSuffix(class, "[]") {
		class, dims = strings.TrimSuffix(class, "[]"), dims+1
	}
	return class, dims
}

// mapOf reads a map. Without a class it is a HashMap that is not tagged.
func mapOf(class string, content any) (any, error) {
	m := java.Map{Class: class}
	if class == "" {
		m.Class = "HashMap"
	}
	if o, ok := content.(*object); ok {
		for _, key := range o.keys {
			v, err := value(o.get(key), "")
			if err != nil {
				return nil, fmt.Errorf("%q: %w", key, err)
			}
			m.Entries = append(m.Entries, java.Entry{Key: key, Value: v})
		}
		return m, nil
	}
	var err error
	m.Entries, err = pairs("@map", content, func(key any) (any, error) { return value(key, "") })
	return m, err
}

// pairs reads entries as [[KEY, VALUE], …].
func pairs(tag string, content any, key func(any) (any, error)) (out []java.Entry, err error) {
	list, ok := content.([]any)
	for _, elem := range list {
		pair, isPair := elem.([]any)
		if ok = ok && isPair && len(pair) == 2; !ok {
			break
		}
		var e java.Entry
		if e.Key, err = key(pair[0]); err != nil {
			return nil, err
		}
		if e.Value, err = value(pair[1], ""); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	if !ok {
		return nil, fmt.Errorf("the entries of %s are [[KEY, VALUE], …]", tag)
	}
	return out, nil
}

func arrayOf(o *object) (any, error) {
	bad := errors.New(`an array is {"@array": [ELEMENT, …], "@class": "int[]"}`)
	list, ok := o.get("@array").([]any)
	class, err := o.text("@class", "")
	if !ok || err != nil {
		return nil, bad
	}
	dims, err := o.int("@dims", 0)
	if err != nil {
		return nil, err
	}
	if dims == 0 {
		class, dims = dimensions(class)
	}
	if class == "" || dims == 0 || dims > 255 {
		return nil, bad
	}
	a, err := arrayFrom(list, class, dims)
	if err != nil {
		return nil, err
	}
	if a.Len, err = o.int("@length", a.Len); err == nil && a.Len < len(a.Elems) {
		err = errors.New("@length is less than there are elements")
	}
	return a, err
}

func arrayFrom(list []any, component string, dims int) (java.Array, error) {
	a := java.Array{Component: component, Dims: dims, Len: len(list)}
	for i, elem := range list {
		var v any
		var err error
		inner, isList := elem.([]any)
		switch {
		case isList && dims > 1:
			v, err = arrayFrom(inner, component, dims-1)
		case dims > 1:
			v, err = value(elem, "")
		default:
			v, err = value(elem, component)
		}
		switch {
		case err != nil:
			return a, err
		case v == nil:
			return a, fmt.Errorf(`element %d is null: Java does not send null; for nulls at the end say "@length"`, i+1)
		case !java.Holds(component, dims, v):
			return a, fmt.Errorf("element %d is no %s%s", i+1, component, strings.Repeat("[]", dims-1))
		}
		a.Elems = append(a.Elems, v)
	}
	return a, nil
}

func enumOf(tag string, o *object) (any, error) {
	class, ok := o.get(tag).(string)
	if !ok || class == "" {
		return nil, fmt.Errorf("%s is the name of the enum's class", tag)
	}
	switch tag {
	case "@enumset":
		list, ok := o.get("@elements").([]any)
		if !ok {
			return nil, errors.New(`an EnumSet is {"@enumset": CLASS, "@elements": [ORDINAL, …]}`)
		}
		s := java.EnumSet{Class: class}
		for _, elem := range list {
			v, err := constant(elem, class)
			if err != nil {
				return nil, err
			}
			s.Elems = append(s.Elems, v)
		}
		return s, nil
	case "@enummap":
		entries, err := pairs("@entries", o.get("@entries"), func(key any) (any, error) { return constant(key, class) })
		return java.EnumMap{Class: class, Entries: entries}, err
	}
	e := java.Enum{Class: class}
	ordinal, err := o.int("@ordinal", -1)
	if err == nil {
		e.Name, err = o.text("@name", "")
	}
	if err != nil {
		return nil, err
	}
	if ordinal < 0 && e.Name == "" {
		return nil, errors.New(`a constant of an enum is {"@enum": CLASS, "@ordinal": PLACE}, from 0`)
	}
	e.Ordinal = int32(max(ordinal, 0)) //nolint:gosec // it was one
	return e, nil
}

// constant reads a constant of a known enum: its ordinal, or its name.
func constant(tree any, class string) (any, error) {
	if name, ok := tree.(string); ok && name != "" {
		return java.Enum{Class: class, Name: name}, nil
	}
	if n, ok := tree.(json.Number); ok {
		i, err := number("@int", n)
		if ordinal, ok := i.(int32); ok && err == nil && ordinal >= 0 {
			return java.Enum{Class: class, Ordinal: ordinal}, nil
		}
	}
	v, err := value(tree, "")
	if err == nil && !is[java.Enum](v) {
		err = fmt.Errorf("a constant of %s is its place, from 0", class)
	}
	return v, err
}
