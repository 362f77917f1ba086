package main

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/pushtunnel/pushtunnel/native"
)

func TestRun(t *testing.T) {
	for name, size := range map[string]string{"brpc-2.5.0": "40", "brpc": "48"} {
		var out bytes.Buffer
		if err := run(t.Context(), name, &out); err != nil {
			t.Fatal(err)
		}
		if want := "over frames with a head of " + size + " bytes: c1 has hello\n"; out.String() != want {
			t.Errorf("printed %q, want %q", &out, want)
		}
	}
	if err := run(t.Context(), "nobody's", new(bytes.Buffer)); err == nil {
		t.Error("a head that is not there is used")
	}
}

func TestHead(t *testing.T) {
	h := native.Head{Type: native.TypePush, CorrelationID: 1<<62 + 7, Body: 90}
	b := brpc250{}.Append(nil, h)
	const want = "00000100" + "0700000000000040" + "00000000000000000000000000000000" + "061920fb" + "02000000" + "5a000000"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, err := (brpc250{}).Parse(b); err != nil || got != h {
		t.Errorf("got %+v, %v", got, err)
	}
	b[30]++
	if _, err := (brpc250{}).Parse(b); err == nil {
		t.Error("another magic number is taken")
	}
}
