package tunnel

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"
)

func TestClaimTravels(t *testing.T) {
	for _, want := range []Claim{
		{Name: "c1"},
		{Name: "é", Namespace: "acme", Labels: map[string]string{"a": "b"}},
		{Name: "c1", Namespace: "ä", Labels: map[string]string{"a/b.c": "", "B-_9": "x=y, z", "u": "ü", "s": " x "}},
		{Name: " c1 "},
	} {
		got, err := ClaimFromMetadata(want.Metadata())
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		if err := checkMetadata(want.Metadata()); err != nil {
			t.Errorf("%+v: gRPC does not send it: %v", want, err)
		}
	}
}

func TestBadClaims(t *testing.T) {
	many := []string{NameKey, "c1"}
	for i := range 65 {
		many = append(many, LabelKey, fmt.Sprintf("k%d=v", i))
	}
	for want, pairs := range map[string][]string{
		"no client name": {NamespaceKey, "a"},
		"2 namespaces; there must be one at most":              {NameKey, "c1", NamespaceKey, "a", NamespaceBinKey, "b"},
		"namespace \"a\\x01\" has a control character":         {NameKey, "c1", NamespaceBinKey, "a\x01"},
		"the namespace has 256 bytes":                          {NameKey, "c1", NamespaceKey, strings.Repeat("x", 256)},
		"the namespace is not valid UTF-8":                     {NameKey, "c1", NamespaceBinKey, "\xff"},
		"65 labels, above the limit of 64":                     many,
		`the label "x" is not of the form key=value`:           {NameKey, "c1", LabelKey, "x"},
		`the label "x" is there twice`:                         {NameKey, "c1", LabelKey, "x=1", LabelBinKey, "x=2"},
		"a label has an empty key":                             {NameKey, "c1", LabelKey, "=x"},
		`the label key "x y" has ' ', which is not allowed`:    {NameKey, "c1", LabelKey, "x y=1"},
		"has 64 bytes, above the limit of 63":                  {NameKey, "c1", LabelKey, strings.Repeat("x", 64) + "=1"},
		"the value of label x has 256 bytes":                   {NameKey, "c1", LabelKey, "x=" + strings.Repeat("x", 256)},
		"the value of label x is not valid UTF-8":              {NameKey, "c1", LabelBinKey, "x=\xff"},
		"the value of label x \"\\n\" has a control character": {NameKey, "c1", LabelBinKey, "x=\n"},
	} {
		if _, err := ClaimFromMetadata(metadata.Pairs(pairs...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got the error %v, want one with %q", pairs, err, want)
		}
	}
}

// What is taken can be sent on, and is the same then.
func FuzzClaim(f *testing.F) {
	f.Add("c1", "a", "x=y", "z=\xff", false)
	f.Add("é", "", "x", "=", true)
	f.Fuzz(func(t *testing.T, name, namespace, label, other string, binary bool) {
		md := metadata.Pairs(NameKey, name, NamespaceKey, namespace, LabelKey, label, LabelBinKey, other)
		if binary {
			md = metadata.Pairs(NameBinKey, name, NamespaceBinKey, namespace, LabelBinKey, label, LabelKey, other)
		}
		c, err := ClaimFromMetadata(md)
		if err != nil {
			return
		}
		if again, err := ClaimFromMetadata(c.Metadata()); err != nil || !cmp.Equal(again, c) {
			t.Fatalf("got %+v, %v, want %+v", again, err, c)
		}
	})
}
