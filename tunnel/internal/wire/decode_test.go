package wire

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// What the generated code writes, the decoder reads, and finds the same in it.
func TestDecodesWhatTheGeneratedCodeEncodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &pb.Batch{}
		for range rapid.IntRange(0, 3).Draw(t, "frames") {
			want.Frames = append(want.Frames, generateFrame(t))
		}
		rest, err := proto.Marshal(want)
		if err != nil {
			t.Fatalf("encoding: %v", err)
		}
		got := &pb.Batch{}
		for i := 0; ; i++ {
			var frame []byte
			if frame, rest, err = NextFrame(rest); err != nil {
				t.Fatalf("frame %d: got the error %v, want none", i, err)
			}
			if frame == nil {
				break
			}
			var f Frame
			if err := f.Unmarshal(frame); err != nil {
				t.Fatalf("frame %d: got the error %v, want none", i, err)
			}
			p, err := toProto(&f)
			if err != nil {
				t.Fatalf("frame %d: got the error %v, want none", i, err)
			}
			got.Frames = append(got.Frames, p)
		}
		for i, f := range want.GetFrames() {
			want.Frames[i] = normal(f)
		}
		if diff := diff(want, got); diff != "" {
			t.Fatalf("decoded frames differ (-want +got):\n%s", diff)
		}
	})
}

// call, session and field build encodings that no sane sender would.

func field(num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), v)
}

func varint(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func TestUnmarshalIsStrict(t *testing.T) {
	twice := func(v []byte) []byte { return append(v, v...) }
	for name, b := range map[string][]byte{
		"begin twice":            twice(field(fieldBegin, nil)),
		"header twice":           twice(field(fieldHeader, nil)),
		"message twice":          twice(field(fieldMessage, nil)),
		"end twice":              twice(field(fieldEnd, nil)),
		"hello twice":            twice(field(fieldHello, nil)),
		"go_away twice":          twice(field(fieldGoAway, nil)),
		"close twice":            twice(field(fieldClose, nil)),
		"method twice":           field(fieldBegin, twice(field(1, nil))),
		"metadata twice":         field(fieldBegin, twice(field(2, nil))),
		"codec twice":            field(fieldBegin, twice(field(4, nil))),
		"compressor twice":       field(fieldBegin, twice(field(5, nil))),
		"status twice":           field(fieldEnd, twice(field(1, nil))),
		"trailer twice":          field(fieldEnd, twice(field(2, nil))),
		"status message twice":   field(fieldEnd, field(1, twice(field(2, nil)))),
		"details twice":          field(fieldEnd, field(1, twice(field(3, nil)))),
		"a tag cut short":        {0x80},
		"a varint cut short":     {fieldCallID << 3, 0x80},
		"a length beyond":        {fieldMessage<<3 | 2, 5, 1},
		"a fixed64 cut short":    {fieldCallID<<3 | 1, 1, 2, 3},
		"a group without an end": {30<<3&0x7f | 0x80 | 3, 1},
		"an end without a group": {fieldCallID<<3 | 4},
		"the field number 0":     {0<<3 | 2, 0},
		"a method cut short":     field(fieldBegin, []byte{1<<3 | 2, 9}),
		"a begin's varint cut":   field(fieldBegin, []byte{3 << 3}),
		"a begin's tag cut":      field(fieldBegin, []byte{0x80}),
		"a begin's fixed32 cut":  field(fieldBegin, []byte{9<<3 | 5, 1}),
		"an end's status cut":    field(fieldEnd, field(1, []byte{2<<3 | 2, 9})),
	} {
		t.Run(name, func(t *testing.T) {
			var f Frame
			if err := f.Unmarshal(b); err == nil {
				t.Errorf("got %+v, want an error", f)
			}
		})
	}
}

func TestUnmarshalSkipsWhatItDoesNotKnow(t *testing.T) {
	group := protowire.AppendTag(nil, 31, protowire.StartGroupType)
	group = append(group, varint(1, 5)...)
	group = protowire.AppendTag(group, 31, protowire.EndGroupType)
	b := join(
		varint(30, 7), field(32, []byte("new")), group,
		protowire.AppendFixed32(protowire.AppendTag(nil, 33, protowire.Fixed32Type), 1),
		protowire.AppendFixed64(protowire.AppendTag(nil, fieldPing, protowire.Fixed64Type), 1),
		field(fieldCallID, []byte("a call id is no text")),
		varint(fieldMessage, 3),
		varint(fieldCallID, 9),
		field(fieldBegin, join(field(1, []byte("/a/b")), varint(30, 1), field(31, nil),
			protowire.AppendFixed32(protowire.AppendTag(nil, 33, protowire.Fixed32Type), 1))),
	)
	var f Frame
	if err := f.Unmarshal(b); err != nil {
		t.Fatalf("got the error %v, want none", err)
	}
	if f.CallID != 9 || f.Parts != PartBegin || string(f.Begin.Method) != "/a/b" {
		t.Errorf("got %+v, want call 9 with a begin of /a/b and nothing else", f)
	}
}

// A varint part that is said twice is what it is said to be last, as in protobuf.
func TestUnmarshalTakesTheLastVarint(t *testing.T) {
	var f Frame
	if err := f.Unmarshal(join(varint(fieldCancel, 1), varint(fieldWindow, 5), varint(fieldCancel, 0), varint(fieldWindow, 6))); err != nil {
		t.Fatalf("got the error %v, want none", err)
	}
	if f.Parts != PartWindow || f.Window != 6 {
		t.Errorf("got %+v, want a window of 6 and nothing else", f)
	}
}

func TestNextFrame(t *testing.T) {
	batch := join(varint(9, 1), field(1, []byte("one")), field(2, []byte("unknown")), field(1, nil), varint(1, 8))
	for _, want := range []string{"one", ""} {
		var frame []byte
		var err error
		if frame, batch, err = NextFrame(batch); err != nil || frame == nil || string(frame) != want {
			t.Fatalf("got the frame %q (nil: %v) and the error %v, want %q", frame, frame == nil, err, want)
		}
	}
	if frame, rest, err := NextFrame(batch); frame != nil || rest != nil || err != nil {
		t.Errorf("at the end: got %q, %q, %v, want nothing", frame, rest, err)
	}
	for name, b := range map[string][]byte{
		"a tag cut short":           {0x80},
		"a frame cut short":         {1<<3 | 2, 4, 1},
		"an unknown field cut":      {2<<3 | 2, 4, 1},
		"an end of no group":        {2<<3 | 4},
		"a frame as a cut fixed 64": {1<<3 | 1, 1},
	} {
		if frame, _, err := NextFrame(b); err == nil {
			t.Errorf("%s: got the frame %q, want an error", name, frame)
		}
	}
}

func TestEachPairIsStrict(t *testing.T) {
	for name, b := range map[string][]byte{
		"a key twice":       field(1, join(field(1, []byte("a")), field(1, []byte("b")))),
		"a value twice":     field(1, join(field(2, []byte("a")), field(2, nil))),
		"a pair cut short":  {1<<3 | 2, 2, 1},
		"a value cut short": field(1, []byte{2<<3 | 2, 2, 1}),
	} {
		if err := EachPair(b, func([]byte, []byte) {}); err == nil {
			t.Errorf("%s: got no error, want one", name)
		}
	}
	n := 0
	b := join(varint(1, 1), field(2, []byte("unknown")), field(1, join(varint(7, 1), field(9, nil))))
	if err := EachPair(b, func(key, value []byte) {
		n++
		if len(key)+len(value) > 0 {
			t.Errorf("got the pair %q: %q, want an empty one", key, value)
		}
	}); err != nil || n != 1 {
		t.Errorf("got %d pairs and the error %v, want one", n, err)
	}
}

func TestCheck(t *testing.T) {
	big := make([]byte, MaxPiece+1)
	for _, test := range []struct {
		name  string
		frame Frame
		want  string // part of the error; empty: none
	}{
		{"nothing", Frame{}, ""},
		{"an unknown kind for a call", Frame{CallID: 1}, ""},
		{"a critical unknown kind", Frame{Critical: true}, "critical"},
		{"a critical unknown kind for a call", Frame{CallID: 3, Critical: true}, "critical"},
		{"a critical known kind", Frame{CallID: 3, Parts: PartCancel, Critical: true}, ""},
		{"a message without a call", Frame{Parts: PartMessage}, "without a call id"},
		{"a cancel beside a ping", Frame{Parts: PartCancel | PartPing}, "without a call id"},
		{"a ping for a call", Frame{CallID: 1, Parts: PartPing}, "with a call id"},
		{"a hello for a call", Frame{CallID: 1, Parts: PartHello | PartBegin}, "with a call id"},
		{"the largest piece", Frame{CallID: 1, Parts: PartMessage, Message: big[1:]}, ""},
		{"a piece above that", Frame{CallID: 1, Parts: PartMessage, Message: big}, "65537 bytes, above the limit of 65536"},
		{"compressed nothing", Frame{CallID: 1, Parts: PartHalfClose, Compressed: true}, "without a message"},
		{"blocked nothing", Frame{CallID: 1, Parts: PartEnd, Blocked: true}, "without a message"},
		{"a size of nothing", Frame{CallID: 1, MessageSize: 5}, "without a message"},
		{"a size for the session", Frame{MessageSize: 5}, "without a message"},
		{"a first piece", Frame{CallID: 1, Parts: PartMessage, Message: big[:4], MessageSize: 5}, ""},
		{"a first piece that is all", Frame{CallID: 1, Parts: PartMessage, Message: big[:5], MessageSize: 5}, "message size"},
		{"a first piece that is more", Frame{CallID: 1, Parts: PartMessage, Message: big[:6], MessageSize: 5}, "message size"},
		{"an empty compressed message", Frame{CallID: 1, Parts: PartMessage, Compressed: true}, ""},
		{"all that a call may have", Frame{CallID: 1, Parts: CallParts}, ""},
		{"all that a session may have", Frame{Parts: ^CallParts & (PartClose<<1 - 1)}, ""},
	} {
		err := test.frame.Check()
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: got the error %v, want none", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got the error %v, want one with %q", test.name, err, test.want)
		}
	}
}

// The reader decodes every frame of a session, so it must not allocate.
func TestDecodingAUnaryCallDoesNotAllocate(t *testing.T) {
	timeout := uint64(1_000_000)
	batch := mustMarshal(t, &pb.Batch{Frames: []*pb.Frame{
		{CallId: 1, HalfClose: true, Message: make([]byte, 100), Begin: &pb.Begin{
			Method: "/package.Service/Method", TimeoutUs: &timeout, Codec: "json", Compressor: "gzip",
			Metadata: &pb.Metadata{Pairs: []*pb.Pair{{Key: "trace", Value: []byte("1234")}, {Key: "user", Value: []byte("me")}}},
		}},
		{
			CallId: 1, Header: &pb.Metadata{Pairs: []*pb.Pair{{Key: "a", Value: []byte("b")}}}, Message: make([]byte, 100),
			End: &pb.End{Trailer: &pb.Metadata{Pairs: []*pb.Pair{{Key: "c", Value: []byte("d")}}}},
		},
		{Received: 5, Ping: 6},
	}})
	var f Frame
	frames, pairs := 0, 0
	count := func([]byte, []byte) { pairs++ }
	got := testing.AllocsPerRun(100, func() {
		rest := batch
		for {
			var frame []byte
			var err error
			if frame, rest, err = NextFrame(rest); err != nil {
				t.Fatal(err)
			}
			if frame == nil {
				break
			}
			frames++
			if err := f.Unmarshal(frame); err != nil {
				t.Fatal(err)
			}
			if err := f.Check(); err != nil {
				t.Fatal(err)
			}
			for _, md := range [...][]byte{f.Begin.Metadata, f.Header, f.End.Trailer} {
				if err := EachPair(md, count); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations for each batch, want none", got)
	}
	if frames != 3*101 || pairs != 4*101 {
		t.Errorf("got %d frames and %d pairs, want %d and %d", frames, pairs, 3*101, 4*101)
	}
}
