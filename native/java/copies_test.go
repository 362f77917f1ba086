package java

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// copiesOf is Collections.nCopies(n, the value elem).
func copiesOf(n uint64, elem []byte) []byte {
	b := []byte{0xe0, 0x01, 0x00, 6 << 3, 0x00}
	b = varintField(b, 1, n)
	return protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), elem)
}

// A few bytes can claim to be a list of lists of lists of the same. What is read is
// bounded by what it would be if it were written out.
func TestCopiesOfCopiesAreBounded(t *testing.T) {
	b := unhex(t, "2801")
	for range 20 {
		b = copiesOf(10, b)
	}
	if _, err := Parse(b, Limits{}); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("10^20 numbers in %d bytes: %v", len(b), err)
	}
	long, err := Append(nil, strings.Repeat("x", 1<<16))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(copiesOf(1<<16, long), Limits{}); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("4 GiB in %d bytes: %v", len(long), err)
	}
	v, err := Parse(copiesOf(100, copiesOf(100, unhex(t, "2801"))), Limits{})
	if l, ok := v.(List); err != nil || !ok || len(l.Elems) != 100 {
		t.Errorf("100 times 100 numbers: %v", err)
	}
}
