package native_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/java"
)

// The frames that brpc-java has sent: head and body, both ways.
func TestFramesOfJava(t *testing.T) {
	heads := map[string]native.Head{
		"frame.register.c1.cid0":     {Type: native.TypeRegister},
		"frame.push.request.cid0":    {Type: native.TypePush},
		"frame.push.response.cid0":   {Type: native.TypePushResponse},
		"frame.rpc.request.cid3":     {Type: native.TypeRequest, CorrelationID: 3},
		"frame.rpc.response.cid101":  {Type: native.TypeResponse, CorrelationID: 101},
		"frame.rpc.request.add.cid4": {Type: native.TypeRequest, CorrelationID: 4},
		"frame.register.ack.cid7":    {Type: native.TypeResponse, CorrelationID: 7},
	}
	text, err := os.ReadFile("java/testdata/vectors.tsv")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for l := range strings.Lines(string(text)) {
		f := strings.Split(l, "\t")
		if !strings.HasPrefix(f[0], "frame.") {
			continue
		}
		seen++
		b, err := hex.DecodeString(f[1])
		if err != nil {
			t.Fatal(err)
		}
		want, ok := heads[f[0]]
		want.Body = len(b) - 48
		got, err := native.BRPC.Parse(b[:48])
		if !ok || err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", f[0], got, err, want)
			continue
		}
		body, err := java.ParseBody(b[48:])
		if err != nil {
			t.Errorf("%s: %v", f[0], err)
		}
		if again := body.Append(native.BRPC.Append(nil, got)); !bytes.Equal(again, b) {
			t.Errorf("%s is written as\n%x, want\n%x", f[0], again, b)
		}
	}
	if seen != len(heads) {
		t.Errorf("%d frames, want %d", seen, len(heads))
	}
}
