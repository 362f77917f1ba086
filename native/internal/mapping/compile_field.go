package mapping

import (
	"math/big"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pushtunnel/pushtunnel/native/java"
	javapb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/java/v1"
)

// classNumber is no number of a Java field: the name of an object's class has it.
const classNumber = 127

// field makes the plan of a field.
func (c *compiler) field(fd protoreflect.FieldDescriptor, in *message) *field {
	form := optionsOf[*javapb.FieldForm](fd.Options(), javapb.E_Field)
	f := &field{
		name: string(fd.FullName()), number: fd.Number(), java: fd.Number(),
		presence: fd.HasPresence(), class: form.GetClass(),
	}
	if n := form.GetNumber(); n != 0 {
		f.java = protowire.Number(n) //nolint:gosec // checked below
	}
	if in.shape == javapb.MessageForm_OBJECT && (f.java == classNumber || !f.java.IsValid()) {
		c.fail(fd, "its number in Java would be %d, which no Java field has: set option (pushtunnel.java.v1.field).number", f.java)
	}
	if fd.IsExtension() || fd.Kind() == protoreflect.GroupKind {
		c.fail(fd, "extensions and groups have no Java form: use a message")
		return f
	}
	switch {
	case fd.IsMap():
		f.container = dict
		key := c.typ(fd.MapKey(), javapb.FieldForm_DEFAULT)
		f.key = &key
		f.typ = c.typ(fd.MapValue(), form.GetKind())
		if f.class == "" {
			f.class = "HashMap"
		}
		if !java.KnowsMap(f.class) {
			c.fail(fd, "brpc-java knows no map called %s: use a simple name such as TreeMap, or the full name of a class", f.class)
		}
		c.noContainer(fd, form)
	case fd.IsList():
		f.typ = c.typ(fd, form.GetKind())
		c.setContainer(f, form.GetContainer())
		c.checkContainerClass(fd, f)
	default:
		f.typ = c.typ(fd, form.GetKind())
		c.noContainer(fd, form)
		if f.class != "" {
			c.fail(fd, "class is for repeated fields and maps: set that of the message, or take it away")
		}
	}
	return f
}

func (c *compiler) noContainer(fd protoreflect.FieldDescriptor, form *javapb.FieldForm) {
	if form.GetContainer() != javapb.FieldForm_LIST {
		c.fail(fd, "container is for repeated fields: make it repeated, or take container away")
	}
}

func (c *compiler) setContainer(f *field, want javapb.FieldForm_Container) {
	switch want {
	case javapb.FieldForm_SET:
		f.container = set
		if f.class == "" {
			f.class = "HashSet"
		}
	case javapb.FieldForm_ARRAY:
		f.container = array
		if f.class == "" {
			f.class = componentClass(&f.typ)
		}
	default:
		f.container = list
		if f.class == "" {
			f.class = "ArrayList"
		}
	}
}

// checkContainerClass notes a class that Java could not read, or that does not go
// with the elements.
func (c *compiler) checkContainerClass(fd protoreflect.FieldDescriptor, f *field) {
	if f.container != array {
		if !java.KnowsCollection(f.class) {
			c.fail(fd, "brpc-java knows no collection called %s: use a simple name such as LinkedList, or the full name of a class", f.class)
		}
		return
	}
	if v := samples[f.kind]; v != nil && !java.Holds(f.class, 1, v) {
		c.fail(fd, "an array of %s holds no %s: use class %s, %s, or take class away", f.class, classes[f.kind], classes[f.kind], boxedClasses[f.kind])
	}
}

// samples are a value of each kind whose arrays are of a class that is known.
var samples = [...]any{
	kindBool: true, kindByte: int8(0), kindChar: java.Char(0), kindShort: int16(0), kindInt: int32(0), kindLong: int64(0),
	kindFloat: float32(0), kindDouble: float64(0), kindString: "", kindBigDecimal: java.BigDecimal("0"),
	kindBigInteger: new(big.Int), kindDate: time.Time{}, kindClass: java.Class{}, kindValue: nil,
}

// componentClass is the class of an array's innermost elements.
func componentClass(t *typ) string {
	switch t.kind {
	case kindObject:
		if t.msg != nil {
			return t.msg.class
		}
	case kindEnum:
		if t.enum != nil {
			return t.enum.class
		}
	case kindWrapped:
		if t.msg != nil && len(t.msg.fields) == 1 && t.msg.fields[0].container == array {
			return t.msg.fields[0].class
		}
		return "java.lang.Object"
	case kindAnyOf, kindValue:
		return "java.lang.Object"
	default:
	}
	if t.boxed {
		return boxedClasses[t.kind]
	}
	return classes[t.kind]
}

// dims is how many dimensions an array of such elements has.
func dims(t *typ) int {
	n := 1
	for t.kind == kindWrapped && t.msg != nil && len(t.msg.fields) == 1 && t.msg.fields[0].container == array {
		t = &t.msg.fields[0].typ
		n++
	}
	if t.kind == kindBytes {
		n++ // byte[]
	}
	return n
}

var classes = [...]string{
	kindBool: "boolean", kindByte: "byte", kindChar: "char", kindShort: "short", kindInt: "int", kindLong: "long",
	kindFloat: "float", kindDouble: "double", kindString: "java.lang.String",
	kindByteString: "com.dyuproject.protostuff.ByteString", kindBytes: "byte",
	kindBigDecimal: "java.math.BigDecimal", kindBigInteger: "java.math.BigInteger", kindDate: "java.util.Date", kindClass: "java.lang.Class",
}

var boxedClasses = [...]string{
	kindBool: "java.lang.Boolean", kindByte: "java.lang.Byte", kindChar: "java.lang.Character", kindShort: "java.lang.Short",
	kindInt: "java.lang.Integer", kindLong: "java.lang.Long", kindFloat: "java.lang.Float", kindDouble: "java.lang.Double",
	kindString: "java.lang.String", kindByteString: "com.dyuproject.protostuff.ByteString", kindBytes: "byte",
	kindBigDecimal: "java.math.BigDecimal", kindBigInteger: "java.math.BigInteger", kindDate: "java.util.Date", kindClass: "java.lang.Class",
}

// typ makes the plan of the values of a field.
func (c *compiler) typ(fd protoreflect.FieldDescriptor, want javapb.FieldForm_Kind) typ {
	t := typ{proto: fd.Kind()}
	switch fd.Kind() {
	case protoreflect.EnumKind:
		t.kind, t.enum = kindEnum, c.enum(fd.Enum())
	case protoreflect.MessageKind:
		return c.messageTyp(fd, want)
	default:
		t.kind = scalarKind(fd.Kind())
	}
	if want != javapb.FieldForm_DEFAULT {
		k, ok := chosenKind(fd.Kind(), want)
		if !ok {
			c.fail(fd, "kind %s does not go with %s: %s", want, fd.Kind(), fitting[want])
			return t
		}
		t.kind = k
	}
	return t
}

func (c *compiler) messageTyp(fd protoreflect.FieldDescriptor, want javapb.FieldForm_Kind) typ {
	md := fd.Message()
	t := typ{proto: fd.Kind()}
	switch {
	case md.FullName() == timestampName:
		t.kind = kindDate
		if want == javapb.FieldForm_DATE {
			want = javapb.FieldForm_DEFAULT
		}
	case md.FullName() == valueName:
		t.kind = kindValue
	case shapeOf(md) == javapb.MessageForm_ANY_OF:
		t.kind, t.msg = kindAnyOf, c.message(md)
	case shapeOf(md) == javapb.MessageForm_VALUE:
		return c.valueTyp(fd, want)
	default:
		t.kind, t.msg = kindObject, c.message(md)
		if md.Fields().Len() == 0 {
			c.fail(fd, "%s has no fields, and Java cannot send an object without: add one", md.FullName())
		}
	}
	if want != javapb.FieldForm_DEFAULT {
		c.fail(fd, "kind %s does not go with a message: %s", want, fitting[want])
	}
	return t
}

// valueTyp is the type of a message of shape VALUE: that of its field, if that is a
// scalar.
func (c *compiler) valueTyp(fd protoreflect.FieldDescriptor, want javapb.FieldForm_Kind) typ {
	md := fd.Message()
	m := c.message(md)
	if md.Fields().Len() != 1 {
		return typ{proto: fd.Kind(), kind: kindWrapped, msg: m} // c.message has said so
	}
	inner := md.Fields().Get(0)
	if inner.IsList() || inner.IsMap() || inner.Kind() == protoreflect.MessageKind {
		if want != javapb.FieldForm_DEFAULT {
			c.fail(fd, "kind %s belongs to the field of %s", want, md.FullName())
		}
		return typ{proto: fd.Kind(), kind: kindWrapped, msg: m}
	}
	if want == javapb.FieldForm_DEFAULT {
		want = optionsOf[*javapb.FieldForm](inner.Options(), javapb.E_Field).GetKind()
	}
	t := c.typ(inner, want)
	t.inner, t.proto = t.proto, fd.Kind()
	t.boxed, t.unbox = true, inner.Number()
	return t
}

func scalarKind(k protoreflect.Kind) kind {
	switch k {
	case protoreflect.BoolKind:
		return kindBool
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return kindInt
	case protoreflect.FloatKind:
		return kindFloat
	case protoreflect.DoubleKind:
		return kindDouble
	case protoreflect.StringKind:
		return kindString
	case protoreflect.BytesKind:
		return kindBytes
	default:
		return kindLong
	}
}

// fitting says for each kind what it goes with.
var fitting = map[javapb.FieldForm_Kind]string{
	javapb.FieldForm_BYTE: "use int32", javapb.FieldForm_SHORT: "use int32", javapb.FieldForm_CHAR: "use uint32",
	javapb.FieldForm_DATE:        "use int64 or google.protobuf.Timestamp",
	javapb.FieldForm_BIG_DECIMAL: "use string", javapb.FieldForm_BIG_INTEGER: "use string or bytes",
	javapb.FieldForm_BYTE_STRING: "use bytes", javapb.FieldForm_CLASS: "use string",
}

// chosenKind is the kind that an option chooses, if it goes with the proto type.
func chosenKind(k protoreflect.Kind, want javapb.FieldForm_Kind) (kind, bool) {
	of := scalarKind(k)
	switch want {
	case javapb.FieldForm_BYTE:
		return kindByte, of == kindInt
	case javapb.FieldForm_SHORT:
		return kindShort, of == kindInt
	case javapb.FieldForm_CHAR:
		return kindChar, of == kindInt
	case javapb.FieldForm_DATE:
		return kindDate, of == kindLong && k != protoreflect.EnumKind
	case javapb.FieldForm_BIG_DECIMAL:
		return kindBigDecimal, of == kindString
	case javapb.FieldForm_BIG_INTEGER:
		return kindBigInteger, of == kindString || of == kindBytes
	case javapb.FieldForm_BYTE_STRING:
		return kindByteString, of == kindBytes
	case javapb.FieldForm_CLASS:
		return kindClass, of == kindString
	default:
		return of, false
	}
}

// enum makes the plan of an enum, once.
func (c *compiler) enum(ed protoreflect.EnumDescriptor) *enum {
	if e := c.enums[ed.FullName()]; e != nil {
		return e
	}
	e := &enum{name: string(ed.FullName()), class: optionsOf[*javapb.EnumForm](ed.Options(), javapb.E_Enum).GetClass()}
	if e.class == "" {
		e.class = className(ed)
	}
	c.enums[ed.FullName()] = e
	toOrdinal, toNumber, none := make(map[int32]int32), make(map[int32]int32), make(map[int32]bool)
	same := true
	for i := range ed.Values().Len() {
		vd := ed.Values().Get(i)
		form := optionsOf[*javapb.EnumValueForm](vd.Options(), javapb.E_EnumValue)
		number := int32(vd.Number())
		ordinal := number
		if form != nil && form.Ordinal != nil {
			ordinal = int32(form.GetOrdinal()) //nolint:gosec // checked below
			same = false
		}
		if form.GetNone() {
			if len(none) == 0 {
				e.null = number
			}
			none[number] = true
			same = false
			continue
		}
		if ordinal < 0 {
			c.fail(vd, "its place in Java would be %d: set option (pushtunnel.java.v1.enum_value) = {ordinal: …}", ordinal)
		}
		if other, ok := toNumber[ordinal]; ok && other != number {
			c.fail(vd, "its place in Java is %d, as that of another: set option (pushtunnel.java.v1.enum_value) = {ordinal: …}", ordinal)
		}
		toOrdinal[number], toNumber[ordinal] = ordinal, number
	}
	e.toOrdinal = toOrdinal
	if !same {
		e.toNumber, e.none = toNumber, none
	}
	return e
}
