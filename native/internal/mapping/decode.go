package mapping

import (
	"errors"
	"fmt"
	"math/big"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pushtunnel/pushtunnel/native/java"
	javapb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/java/v1"
)

// Request makes the request message of the arguments of a call,
// java.Body.Parameters; nil if there is none. The result is a protobuf message.
func (m *Method) Request(params []byte) ([]byte, error) {
	var elems [][]byte
	length := 0
	if params != nil {
		h, it, err := java.ParseArray(params)
		if err != nil {
			return nil, err
		}
		length = h.Len
		var room [8][]byte
		elems = room[:0]
		for {
			e, ok, err := it.Next()
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			elems = append(elems, e)
		}
	}
	if m.object {
		if length != 1 || len(elems) != 1 {
			return nil, fmt.Errorf("%d arguments, %d of them null; %s takes one object", length, length-len(elems), m.JavaMethod)
		}
		return m.request.fromDynamic(nil, elems[0], 0)
	}
	if length != len(m.params) {
		return nil, fmt.Errorf("%d arguments; %s takes %d", length, m.JavaMethod, len(m.params))
	}
	return m.arguments(elems)
}

// arguments assigns the arguments that are not null to the parameters. Java drops
// nulls, so which parameters were null is not on the wire: the last ones, unless
// the types allow only one other way.
func (m *Method) arguments(elems [][]byte) ([]byte, error) {
	size := 0
	for _, e := range elems {
		size += len(e)
	}
	places := m.align(elems)
	b := make([]byte, 0, size+8*len(elems))
	for i, e := range elems {
		f := m.params[places[i]]
		var err error
		if b, err = f.fromDynamic(b, e, 0); err != nil {
			return nil, fmt.Errorf("argument %d, %s: %w", places[i], f.name, err)
		}
	}
	return b, nil
}

// align returns the parameter of each argument.
func (m *Method) align(elems [][]byte) []int {
	places := make([]int, len(elems))
	for i := range places {
		places[i] = i
	}
	if len(elems) == len(m.params) || len(elems) == 0 {
		return places
	}
	// From the left each argument is put as early as it fits, from the right as
	// late; if both ways are the same there is but one.
	early, late := make([]int, len(elems)), make([]int, len(elems))
	p := 0
	for i, e := range elems {
		for p < len(m.params) && !m.params[p].takes(e) {
			p++
		}
		if p == len(m.params) {
			return places
		}
		early[i] = p
		p++
	}
	p = len(m.params) - 1
	for i := len(elems) - 1; i >= 0; i-- {
		for p >= 0 && !m.params[p].takes(elems[i]) {
			p--
		}
		if p < 0 {
			return places
		}
		late[i] = p
		p--
	}
	for i := range early {
		if early[i] != late[i] {
			return places
		}
	}
	return early
}

// takes reports whether a value can be that of the parameter.
func (f *field) takes(e []byte) bool {
	_, err := f.fromDynamic(nil, e, 0)
	return err == nil
}

// Response makes the response message of the result of a call, java.Body.Content.
// Without one the result was null, or there is none.
func (m *Method) Response(content []byte, present bool) ([]byte, error) {
	switch {
	case m.Void || !present:
		return nil, nil
	case m.result != nil:
		return m.result.fromDynamic(make([]byte, 0, len(content)+8), content, 0)
	default:
		return m.response.fromDynamic(make([]byte, 0, len(content)+8), content, 0)
	}
}

// idOf returns the type of a value.
func idOf(v []byte) (protowire.Number, error) {
	id, _, n := protowire.ConsumeTag(v)
	if n < 0 {
		return 0, errors.New("a value without a type")
	}
	return id, nil
}

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

func (t *typ) fromEnum(b []byte, n protowire.Number, v []byte) ([]byte, error) {
	value, err := java.Parse(v, java.Limits{})
	if err != nil {
		return nil, err
	}
	e, ok := value.(java.Enum)
	switch {
	case !ok:
		return nil, fmt.Errorf("a %T, want a constant of %s", value, t.enum.class)
	case e.Class != t.enum.class:
		return nil, fmt.Errorf("a constant of %s, want %s", e.Class, t.enum.class)
	case e.Name != "":
		return nil, fmt.Errorf("a constant of %s by its name: the peer runs with enums_by_name", e.Class)
	}
	return t.fromScalar(b, n, record{wire: protowire.VarintType, bits: uint64(e.Ordinal)}) //nolint:gosec // not negative
}

// fromScalar appends a scalar as the field n.
func (t *typ) fromScalar(b []byte, n protowire.Number, r record) ([]byte, error) {
	if t.boxed {
		scalar := *t
		scalar.boxed, scalar.proto = false, t.inner
		return message1(b, n, func(b []byte) ([]byte, error) { return scalar.fromScalar(b, t.unbox, r) })
	}
	v, bytes := r.bits, r.bytes
	switch t.kind {
	case kindByte:
		v = uint64(int64(int8(v))) //nolint:gosec // as Java narrows
	case kindShort:
		v = uint64(int64(int16(v))) //nolint:gosec // as Java narrows
	case kindChar:
		v &= 0xffff
	case kindInt:
		v = uint64(int64(int32(v))) //nolint:gosec // as Java narrows
	case kindEnum:
		number, err := t.enum.number(v)
		if err != nil {
			return nil, err
		}
		v = uint64(int64(number)) //nolint:gosec // sign-extended
	case kindDate:
		if t.proto == protoreflect.MessageKind {
			ms := int64(v) //nolint:gosec // the same bits
			if ms < minMillis || ms > maxMillis {
				return nil, fmt.Errorf("a Date of %d ms, which google.protobuf.Timestamp does not have: use kind DATE on int64", ms)
			}
			return message1(b, n, func(b []byte) ([]byte, error) { return appendTimestamp(b, ms), nil })
		}
	case kindString, kindBigDecimal, kindClass:
		return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), java.DecodeString(bytes)), nil
	case kindBigInteger:
		i, err := parseBigInteger(bytes)
		if err != nil {
			return nil, err
		}
		if t.proto == protoreflect.StringKind {
			bytes = i.Append(nil, 10)
		}
	default:
	}
	wire := wireOf(t.proto)
	b = protowire.AppendTag(b, n, wire)
	if wire == protowire.BytesType {
		return protowire.AppendBytes(b, bytes), nil
	}
	return appendNumber(b, t.proto, v), nil
}

// parseBigInteger reads a BigInteger of bounded size.
func parseBigInteger(b []byte) (*big.Int, error) {
	if len(b) > maxDigits/2 {
		return nil, fmt.Errorf("a BigInteger of %d bytes", len(b))
	}
	return java.ParseBigInteger(b)
}

// number returns the number of a constant.
func (e *enum) number(bits uint64) (int32, error) {
	ordinal := int32(bits) //nolint:gosec // as Java narrows
	if e.toNumber == nil {
		return ordinal, nil
	}
	n, ok := e.toNumber[ordinal]
	if !ok {
		return 0, fmt.Errorf("%s has no constant at %d in Java", e.name, ordinal)
	}
	return n, nil
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
