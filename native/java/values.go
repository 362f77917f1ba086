package java

import "google.golang.org/protobuf/encoding/protowire"

// Char is a java.lang.Character: a UTF-16 unit.
type Char uint16

// ByteString is protostuff's own type of that name. Java's byte[] is []byte.
type ByteString []byte

// BigDecimal is a java.math.BigDecimal, as its toString writes it: "1.50", "1E+5".
type BigDecimal string

// Object is an instance of java.lang.Object itself, which has nothing in it.
type Object struct{}

// Class is a java.lang.Class.
type Class struct {
	// Name is what Class.getName returns: "int", "java.lang.String",
	// "demo.Outer$Inner". Of an array it is that of the innermost component.
	Name string
	// Dims is how many dimensions an array has; 0 for any other class.
	Dims int
}

// Array is any array but byte[].
type Array struct {
	// Component is the name of the innermost component's class, Dims the number of
	// dimensions: int[][] is "int", 2. The elements of such an array are Arrays of
	// one dimension less, or []byte if the component is byte.
	Component string
	Dims      int
	// Len is the length. Nulls are not on the wire: there may be fewer Elems, and
	// nobody knows where the nulls were; Java puts them last. 0 means len(Elems).
	Len   int
	Elems []any
}

// List is a collection of any kind.
type List struct {
	// Class is the simple name of a class of java.util, such as "HashSet", or the
	// full name of another. Empty means "ArrayList". A simple name that Java writes
	// and cannot read, such as "ListN" of List.of, is written as "ArrayList" or
	// "HashSet".
	Class string
	Elems []any // without nulls
}

// Entry is an entry of a map. A null key or value is nil.
type Entry struct{ Key, Value any }

// Map is a map of any kind.
type Map struct {
	// Class is as in List. Empty means "HashMap".
	Class   string
	Entries []Entry // in the order of the wire
}

// Enum is a constant of an enum.
type Enum struct {
	Class   string
	Ordinal int32
	// Name is the constant's name, if the peer writes enums by name; it does if it
	// runs with -Dprotostuff.runtime.enums_by_name=true. Empty otherwise.
	Name string
}

// EnumSet is a java.util.EnumSet. The elements are Enums.
type EnumSet struct {
	Class string
	Elems []any
}

// EnumMap is a java.util.EnumMap. The keys are Enums.
type EnumMap struct {
	Class   string
	Entries []Entry
}

// Field is a field of an object as it is on the wire.
type Field struct {
	Number protowire.Number
	Type   protowire.Type
	// Value is the encoded value: without the length, if the type has one; with
	// the end marker, if it is a group.
	Value []byte
}

// POJO is an object of a class that is nothing else in this list. A field may come
// several times: collections do.
type POJO struct {
	Class  string
	Fields []Field
}

// Throwable is an exception or error.
type Throwable struct {
	Class  string
	Fields []Field
}

// Message returns the detail message, empty if there is none.
func (t Throwable) Message() string {
	for _, f := range t.Fields {
		if f.Number == 1 && f.Type == protowire.BytesType {
			return DecodeString(f.Value)
		}
	}
	return ""
}

// The numbers by which the wire tells the types of values (RuntimeFieldFactory).
const (
	IDBoolean     protowire.Number = 1
	IDByte        protowire.Number = 2
	IDChar        protowire.Number = 3
	IDShort       protowire.Number = 4
	IDInt         protowire.Number = 5
	IDLong        protowire.Number = 6
	IDFloat       protowire.Number = 7
	IDDouble      protowire.Number = 8
	IDString      protowire.Number = 9
	IDByteString  protowire.Number = 10
	IDBytes       protowire.Number = 11
	IDBigDecimal  protowire.Number = 12
	IDBigInteger  protowire.Number = 13
	IDDate        protowire.Number = 14
	IDArray       protowire.Number = 15
	IDObject      protowire.Number = 16
	IDArrayMapped protowire.Number = 17 // read, never written
	IDClass       protowire.Number = 18
	IDClassMapped protowire.Number = 19 // read, never written
	IDArrayClass  protowire.Number = 20
	IDArrayClassM protowire.Number = 21 // read, never written
	IDEnumSet     protowire.Number = 22
	IDEnumMap     protowire.Number = 23
	IDEnum        protowire.Number = 24
	IDCollection  protowire.Number = 25
	IDMap         protowire.Number = 26
	IDWrappedList protowire.Number = 28 // read, never written
	IDWrappedMap  protowire.Number = 29 // read, never written
	IDThrowable   protowire.Number = 52
	IDPOJO        protowire.Number = 127
)
