package mapping

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	javapb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/java/v1"
)

// Service is the Java form of a service.
type Service struct {
	Name     string // of the proto service, in full
	JavaName string // of the interface
	Methods  []*Method
	Streams  []string // methods that have no Java form, since they stream
}

// Method is the Java form of a method. Its methods may be called by any goroutine.
type Method struct {
	FullMethod  string // "/package.Service/Method"
	JavaService string
	JavaMethod  string

	// Void says that there is no result, OneWay that nobody waits for the end.
	Void, OneWay bool
	// StringResult says that the result is a String, AnyResult that it may be of any
	// class.
	StringResult, AnyResult bool

	params   []*field // of the request message, in order; nil if object is set
	request  *message
	object   bool     // the request message is the only parameter
	result   *field   // the field that is the result; nil if response is
	response *message // nil for void
	zeroNull bool     // a null result is answered with zero
}

// kind is the Java type of a value.
type kind uint8

const (
	kindBool kind = iota
	kindByte
	kindChar
	kindShort
	kindInt
	kindLong
	kindFloat
	kindDouble
	kindString
	kindByteString
	kindBytes
	kindBigDecimal
	kindBigInteger
	kindDate
	kindClass
	kindEnum
	kindObject  // a message of shape OBJECT
	kindAnyOf   // a message of shape ANY_OF
	kindWrapped // a message of shape VALUE around a collection or map
	kindValue   // javapb.Value
)

// dynamic reports whether a value of the kind carries its type even where a type
// is declared.
func (k kind) dynamic() bool { return k == kindAnyOf || k == kindWrapped || k == kindValue }

// typ is the type of a value on both sides.
type typ struct {
	kind  kind
	proto protoreflect.Kind
	enum  *enum
	msg   *message // of kindObject, kindAnyOf and kindWrapped
	boxed bool     // proto is a message around the scalar: one of protobuf's wrappers, or of shape VALUE
	inner protoreflect.Kind
	unbox protowire.Number // the number of the scalar in that message
}

// container is what a field is besides its elements.
type container uint8

const (
	single container = iota
	list
	set
	array
	dict
)

// field is a field of a message, or a parameter.
type field struct {
	name     string // for errors
	number   protowire.Number
	java     protowire.Number
	place    int // among the fields of the message in the order of java
	presence bool
	typ
	container container
	class     string // of a collection or map; of an array, its elements'
	key       *typ   // of a dict
}

// message is a message of any shape.
type message struct {
	name   string
	class  string
	shape  javapb.MessageForm_Shape
	fields []*field // in the order of java
	proto  map[protowire.Number]*field
	java   map[protowire.Number]*field
}

// enum is an enum. toNumber and none are nil if number and ordinal are the same for
// all constants: then those that this program does not know are read, too.
type enum struct {
	name      string
	class     string
	toOrdinal map[int32]int32
	toNumber  map[int32]int32
	none      map[int32]bool // numbers that are null in Java
	null      int32          // one of them
}
