package mapping

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/pushtunnel/pushtunnel/native/internal/mapping/testpb"
)

// What Java rejects because it knows the class is rejected where the mapping does.
func TestRejectsWhatDoesNotFitTheClass(t *testing.T) {
	m := method(t, "EchoHolder")
	for _, c := range []struct{ what, old, with, want string }{
		{"another class", "Types$Holder", "Types$Folder", "want demo.Types$Holder"},
		{"a class of a superclass", "Types$AbsImpl", "Types$AbsXxxx", "demo.Types$AbsXxxx"},
		{"a packed list", "\x98\x01\x01", "\x9a\x01\x01", "wire type 2, want 0"},
		{"an int where a String is", "\x32\x01p", "\x30\x01", "wire type 0, want 2"},
	} {
		good := goldenHolder(t)
		if n := bytes.Count(good, []byte(c.old)); n != 1 {
			t.Fatalf("%s: %q is %d times in the vector", c.what, c.old, n)
		}
		// Only the lengths in front of what is replaced would change, and none does.
		bad := bytes.Replace(good, []byte(c.old), []byte(c.with), 1)
		if _, err := m.Response(bad, true); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want an error with %q", c.what, err, c.want)
		}
	}
}

// A constant that this program does not know yet is kept, as protobuf does, and is
// not written to a Java peer, which might not have it.
func TestConstantsThatAreNotKnown(t *testing.T) {
	m := method(t, "EchoHolder")
	b, err := m.Response(bytes.Replace(goldenHolder(t), []byte("\x28\x02\x32"), []byte("\x28\x09\x32"), 1), true)
	var got testpb.Holder
	if err != nil || proto.Unmarshal(b, &got) != nil || got.GetColor() != 9 {
		t.Errorf("%v, %v", got.GetColor(), err)
	}
	if _, _, err := m.AppendContent(nil, b); err == nil || !strings.Contains(err.Error(), "9 is no constant") {
		t.Errorf("it is written: %v", err)
	}
}
