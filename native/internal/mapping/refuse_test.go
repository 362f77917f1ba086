package mapping

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// file makes a file of its descriptor, as text: a service Svc with one method M
// unless the text has others.
func file(t *testing.T, text string) protoreflect.ServiceDescriptor {
	t.Helper()
	head := `name: "t.proto" package: "t" syntax: "proto3" dependency: "pushtunnel/java/v1/options.proto" `
	if !strings.Contains(text, "service {") {
		text += ` service { name: "Svc" method { name: "M" input_type: ".t.In" output_type: ".t.Out" } }`
	}
	if !strings.Contains(text, `name: "Out"`) {
		text += ` message_type { name: "Out" field { name: "x" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }`
	}
	fd := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(head+text), fd); err != nil {
		t.Fatal(err)
	}
	f, err := protodesc.NewFile(fd, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return f.Services().Get(0)
}

const (
	opt = "options { [pushtunnel.java.v1."
	in  = `message_type { name: "In" `
)

func field1(typ, options string) string {
	return `field { name: "f" number: 1 label: LABEL_OPTIONAL type: ` + typ + " " + options + `} `
}

// Each mistake is found when the service is compiled; the error says where and
// what to do.
func TestMistakes(t *testing.T) {
	for _, c := range []struct{ what, file, want string }{
		{"a kind that does not fit", in + field1("TYPE_STRING", opt+"field] { kind: BYTE } }") + "}", "t.proto: t.In.f: kind BYTE does not go with string: use int32"},
		{"a kind on a message", in + field1("TYPE_MESSAGE", `type_name: ".t.Out" `+opt+"field] { kind: DATE } }") + "}", "kind DATE does not go with a message: use int64"},
		{"number 127", in + field1("TYPE_STRING", opt+"field] { number: 127 } }") + "}", "t.In.f: its number in Java would be 127"},
		{"one number twice", in + field1("TYPE_STRING", opt+"field] { number: 2 } }") + `field { name: "g" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING } }`, "its number in Java is 2, as that of t.In.f"},
		{"a container that is none", in + field1("TYPE_STRING", opt+"field] { container: ARRAY } }") + "}", "container is for repeated fields"},
		{"a class of a scalar", in + field1("TYPE_STRING", opt+`field] { class: "X" } }`) + "}", "class is for repeated fields and maps"},
		{"one_way with a result", in + `} service { name: "Svc" method { name: "M" input_type: ".t.In" output_type: ".t.Out" ` + opt + "method] { one_way: true } } } }", "t.Svc.M: one_way is for void methods"},
		{"two methods of one name", in + `} service { name: "Svc" method { name: "M" input_type: ".t.In" output_type: ".t.Out" } method { name: "m" input_type: ".t.In" output_type: ".t.Out" } }`, "it is m in Java, and so is M"},
		{"a value of two fields", in + opt + "message] { shape: VALUE } } " + field1("TYPE_STRING", "") + `field { name: "g" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING } }`, "t.In: a message of shape VALUE has one field; this has 2"},
		{"a value as parameters", in + opt + "message] { shape: VALUE } } " + field1("TYPE_STRING", "") + "}", "its shape is not OBJECT"},
		{"any of nothing", in + opt + "message] { shape: ANY_OF } } " + field1("TYPE_STRING", "") + "}", "has one oneof, and all its fields are in it"},
		{"any of two that are the same", in + opt + `message] { shape: ANY_OF } } oneof_decl { name: "o" } field { name: "a" number: 1 label: LABEL_OPTIONAL type: TYPE_INT32 oneof_index: 0 } field { name: "b" number: 2 label: LABEL_OPTIONAL type: TYPE_SINT32 oneof_index: 0 } }`, "are the same type in Java"},
		{"an object of nothing", in + `} service { name: "Svc" method { name: "M" input_type: ".t.In" output_type: ".t.Out" ` + opt + "method] { request: OBJECT } } } }", "t.In has no fields, and Java cannot send an object without"},
		{"a parameter of nothing", in + field1("TYPE_MESSAGE", `type_name: ".t.None"`) + `} message_type { name: "None" }`, "t.In.f: t.None has no fields"},
		{"an enum with no place", in + field1("TYPE_ENUM", `type_name: ".t.E"`) + `} enum_type { name: "E" value { name: "A" number: 0 } value { name: "B" number: -1 } }`, "t.B: its place in Java would be -1"},
		{"an enum with one place twice", in + field1("TYPE_ENUM", `type_name: ".t.E"`) + `} enum_type { name: "E" value { name: "A" number: 0 } value { name: "B" number: 1 ` + opt + "enum_value] { ordinal: 0 } } } }", "its place in Java is 0, as that of another"},
		{"a collection that Java does not know", in + strings.Replace(field1("TYPE_STRING", opt+`field] { class: "ListN" } }`), "OPTIONAL", "REPEATED", 1) + "}", "t.In.f: brpc-java knows no collection called ListN: use"},
		{"an array that does not hold its elements", in + strings.Replace(field1("TYPE_INT32", opt+`field] { container: ARRAY class: "java.lang.Long" } }`), "OPTIONAL", "REPEATED", 1) + "}", "an array of java.lang.Long holds no int: use class int, java.lang.Integer"},
		{"a map that Java does not know", in + `field { name: "f" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".t.In.FEntry" ` + opt + `field] { class: "MapN" } } } nested_type { name: "FEntry" options { map_entry: true } field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING } field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING } } }`, "brpc-java knows no map called MapN: use"},
		{"value of two", in + `} message_type { name: "Out" ` + field1("TYPE_STRING", "") + `field { name: "g" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING } } service { name: "Svc" method { name: "M" input_type: ".t.In" output_type: ".t.Out" ` + opt + "method] { response: VALUE } } } }", "response: VALUE needs a response message with one field"},
	} {
		_, err := Compile(file(t, c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.what, err, c.want)
		}
	}
}

// What a Java peer could not read is refused before it is sent: a Java client would
// lose a thread.
func TestWhatJavaCannotReadIsNotSent(t *testing.T) {
	s, err := Compile(file(t, in+field1("TYPE_ENUM", `type_name: ".t.E"`)+
		`field { name: "g" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING `+opt+`field] { kind: BIG_DECIMAL } } } } enum_type { name: "E" value { name: "A" number: 0 } value { name: "B" number: 1 } }`))
	if err != nil {
		t.Fatal(err)
	}
	for want, b := range map[string]string{"": "\x08\x01\x12\x031.5", "7 is no constant of t.E": "\x08\x07", `"x" is no BigDecimal`: "\x12\x01x"} {
		_, err := s.Methods[0].AppendParameters(nil, []byte(b))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", b, err, want)
		}
	}
	v, err := java.Append(nil, java.List{Class: "x.Y", Elems: []any{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	listOf := append(appendLen([]byte{0xca, 0x01}, 5), append([]byte("ListN"), v[len(v)-5:]...)...)
	in := append(appendLen([]byte{valueBytes<<3 | 2}, len(listOf)), listOf...)
	if out, _, err := appendValue(nil, in); err != nil || !strings.Contains(string(out), "ArrayList") {
		t.Errorf("List.of goes on as %q, %v", out, err)
	}
}

// A message may be in itself, and nesting is bounded.
func TestRecursion(t *testing.T) {
	s, err := Compile(file(t, in+field1("TYPE_MESSAGE", `type_name: ".t.In"`)+"}"))
	if err != nil {
		t.Fatal(err)
	}
	deep := func(n int) (b []byte) {
		for range n {
			b = append([]byte{0x0a}, append(appendLen(nil, len(b)), b...)...)
		}
		return b
	}
	m := s.Methods[0]
	params, err := m.AppendParameters(nil, deep(20))
	if err != nil {
		t.Fatal(err)
	}
	if back, err := m.Request(params); err != nil || string(back) != string(deep(20)) {
		t.Errorf("%x, %v", back, err)
	}
	if _, err := m.AppendParameters(nil, deep(1000)); err == nil {
		t.Error("a thousand levels are written")
	}
	inner := deep(1000)
	arg := append([]byte{0xfa, 0x07, 4}, "t.In"...)
	arg = append(arg, inner...)
	p := append([]byte{0x7a, 16}, "java.lang.Object"...)
	p = append(p, 0x18, 1, 0x10, 1, 0x0a)
	p = append(appendLen(p, len(arg)), arg...)
	if _, err := m.Request(p); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("a thousand levels are read: %v", err)
	}
}

func appendLen(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

// FuzzRequest is a peer that sends any arguments.
func FuzzRequest(f *testing.F) {
	ms := service(f).Methods
	f.Add(uint8(0), args(f, "bob"))
	f.Add(uint8(1), args(f, int32(1), int64(2)))
	f.Add(uint8(4), append([]byte{0x7a, 16}, append([]byte("java.lang.Object"), append([]byte{0x18, 1, 0x10, 1, 0x0a}, append(appendLen(nil, len(goldenHolder(f))), goldenHolder(f)...)...)...)...))
	f.Fuzz(func(t *testing.T, i uint8, b []byte) {
		m := ms[int(i)%len(ms)]
		message, err := m.Request(b)
		if err != nil {
			return
		}
		// What was taken can be sent, unless the nulls were in the middle.
		out, err := m.AppendParameters(nil, message)
		if err != nil {
			return
		}
		if _, err := m.Request(out); err != nil {
			t.Fatalf("%s: %x was read as %x, and written as %x: %v", m.JavaMethod, b, message, out, err)
		}
	})
}

// FuzzResponse is a peer that sends any result.
func FuzzResponse(f *testing.F) {
	ms := service(f).Methods
	f.Add(uint8(4), goldenHolder(f))
	f.Add(uint8(5), vector(f, "dyn.Holder"))
	f.Fuzz(func(t *testing.T, i uint8, b []byte) {
		m := ms[int(i)%len(ms)]
		message, err := m.Response(b, true)
		if err != nil {
			return
		}
		out, null, err := m.AppendContent(nil, message)
		if err != nil || null {
			return
		}
		if _, err := m.Response(out, true); err != nil {
			t.Fatalf("%s: %x was read as %x, and written as %x: %v", m.JavaMethod, b, message, out, err)
		}
	})
}
