package mapping

import (
	"encoding/hex"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/pushtunnel/pushtunnel/native/internal/mapping/testpb"
)

// holderOf is a demo.Types$Holder with these fields, in hex.
func holderOf(t *testing.T, fields string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(fields, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return append(append([]byte{0xfa, 0x07, 17}, "demo.Types$Holder"...), b...)
}

// An object of a class that is known is read as strictly as Java reads it.
func TestObjectsThatJavaRejects(t *testing.T) {
	m := method(t, "EchoHolder")
	text := func(s string) string { return hex.EncodeToString([]byte(s)) }
	for _, c := range []struct{ what, fields, want string }{
		{"packed constants", "9a01 02 0001", "wire type 2, want 0"},
		{"a number where a string is", "3001", "wire type 0, want 2"},
		{"a group where an object is", "1b 0807 1c", "wire type 3, want 2"},
		{"an abstract class itself", "0a0f fa070a" + text("demo.Types"), ""},
		{"a class that is not a member", "0a11 fa070e" + text("demo.Types$Abs"), "demo.Types$Abs"},
		{"nothing where any object is", "2200", "without a type"},
		{"bytes after a value", "2204 2801 2802", "after"},
		{"tag 0", "0000", "invalid field number"},
		{"half a string", "3205 61", "EOF"},
		{"an array that begins with its length", "4a0d 1801 7a03696e74 1001 0a022801", "has an array"},
		{"more elements than the length", "4a11 7a03696e74 1801 1001 0a022801 0a022802", "more elements"},
		{"an element of another class", "4a0e 7a03696e74 1801 1001 0a034a0178", "want a java.lang.Integer"},
	} {
		if b, err := m.Response(holderOf(t, c.fields), true); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %x, %v; want %q", c.what, b, err, c.want)
		}
	}
	// Where the numbers are the places in Java, protobuf keeps a constant that is not
	// there. Where they are not, there is nothing to keep.
	s, err := Compile(file(t, in+field1("TYPE_ENUM", `type_name: ".t.E"`)+`} enum_type { name: "E" value { name: "A" number: 0 } value { name: "B" number: 5 `+opt+"enum_value] { ordinal: 1 } } } }"))
	if err != nil {
		t.Fatal(err)
	}
	for ordinal, want := range map[byte]string{1: "", 2: "no constant at 2", 5: "no constant at 5"} {
		constant := append(append(append([]byte{0x7a, 16}, "java.lang.Object"...), 0x18, 1, 0x10, 1, 0x0a, 8, 0xc2, 1, 3), "t.E"...)
		b, err := s.Methods[0].Request(append(constant, 8, ordinal))
		if want == "" && (err != nil || string(b) != "\x08\x05") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("the constant at %d: %x, %v; want %q", ordinal, b, err, want)
		}
	}
	for what, b := range map[string][]byte{
		"no class":      {0x28, 1},
		"class at last": append([]byte{0x28, 1}, holderOf(t, "")...),
	} {
		if _, err := m.Response(b, true); err == nil {
			t.Errorf("%s: it is read", what)
		}
	}
}

// What Java takes is taken: any order, fields twice, and fields that nobody knows.
func TestObjectsThatJavaAccepts(t *testing.T) {
	m := method(t, "EchoHolder")
	b, err := m.Response(holderOf(t, "6842 2801 f23f0161 f33f 0801 f43f f53f00000000 6841 2802 fa0701 58"), true)
	var got testpb.Holder
	if err != nil || proto.Unmarshal(b, &got) != nil {
		t.Fatal(err)
	}
	if got.GetC() != 'A' || got.GetColor() != testpb.Types_COLOR_BLUE {
		t.Errorf("got %v; the last of each counts", &got)
	}
}
