// Package java has the values of Java programs in Go, and their bytes as brpc-java
// puts them on the wire: protostuff 1.0.7 with its runtime schema and protobuf
// encoding (RuntimeSchema, ProtobufIOUtil).
//
// A value whose type the reader does not know beforehand, which is what every
// argument and result is, carries its type with it. In Go it is an any:
//
//	Java                  Go
//	null                  nil
//	Boolean               bool
//	Byte                  int8
//	Character             Char
//	Short                 int16
//	Integer               int32
//	Long                  int64
//	Float                 float32
//	Double                float64
//	String                string
//	ByteString            ByteString
//	byte[]                []byte
//	BigDecimal            BigDecimal
//	BigInteger            *big.Int
//	java.util.Date        time.Time, in milliseconds
//	arrays                Array
//	java.lang.Object      Object
//	Class                 Class
//	EnumSet, EnumMap      EnumSet, EnumMap
//	enum constants        Enum
//	collections           List
//	maps                  Map
//	Throwable             Throwable
//	any other object      POJO
//
// A boxed value and a primitive are the same on the wire. A Java method takes an
// argument only if it is of the parameter's type or a narrower one, and is silent
// if it is not: so int, which might be either, is refused.
//
// A POJO has a class and numbered fields. What is in the fields is known to the
// class alone, so they are kept as they came: a class that this program does not
// know survives a round trip.
package java
