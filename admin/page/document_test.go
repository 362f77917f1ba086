package page

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// Pages that ask for the same share a document.
func TestDocumentsAreShared(t *testing.T) {
	s := &sample{documents: make(map[query][]byte)}
	q := query{sort: sortName, ascending: true}
	first, again := s.document(q), s.document(q)
	if &first[0] != &again[0] {
		t.Error("the document was made twice")
	}
	q.text = "lamp"
	if other := s.document(q); &first[0] == &other[0] {
		t.Error("another query has got the same document")
	}
}

// A clipped text is valid, and never longer than it may be.
func TestClip(t *testing.T) {
	for name, text := range map[string]string{
		"short": "abc", "as long as it may be": strings.Repeat("a", maxText), "long": strings.Repeat("a", maxText+1),
		"cut in a character": strings.Repeat("a", maxText-4) + "€€€", "all of three bytes": strings.Repeat("€", maxText), "invalid": "a\xff\xfeb", "invalid and long": strings.Repeat("\xff", 1000),
		"nothing": "",
	} {
		got := clip(text)
		if len(got) > maxText || !utf8.ValidString(got) || len(text) <= maxText && utf8.ValidString(text) && got != text {
			t.Errorf("%s: got %d bytes, %q", name, len(got), got)
		}
	}
}
