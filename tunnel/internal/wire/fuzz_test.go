package wire

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// seedFrames are frames of an ordinary conversation.
func seedFrames() []*pb.Frame {
	timeout := uint64(5)
	md := &pb.Metadata{Pairs: []*pb.Pair{{Key: "k", Value: []byte("v")}, {Key: "k-bin", Value: []byte{0, 255}}}}
	st := &pb.Status{Code: 3, Message: []byte("no"), Details: []byte{8, 3}}
	return []*pb.Frame{
		{},
		{Hello: &pb.Hello{Version: 1, SessionId: "s", CallWindow: 65536, MaxCalls: 8, HeartbeatMs: 15000}},
		{
			CallId: 1, Message: []byte("hi"), HalfClose: true,
			Begin: &pb.Begin{Method: "/a.B/C", Metadata: md, TimeoutUs: &timeout, Codec: "json", Compressor: "gzip"},
		},
		{CallId: 1, Header: md, Message: []byte("ho"), End: &pb.End{Status: st, Trailer: md, Refused: true}},
		{CallId: 3, Message: []byte("part"), MessageSize: 9, Compressed: true, Blocked: true},
		{CallId: 3, Window: 32768},
		{CallId: 3, Cancel: true},
		{Ping: 7},
		{Pong: 7},
		{Received: 70000},
		{Done: true},
		{Critical: true},
		{GoAway: &pb.GoAway{Reason: "bye", ReconnectAfterMs: 3}},
		{Close: st},
	}
}

// FuzzFrame compares the decoder with the generated code on any bytes.
func FuzzFrame(f *testing.F) {
	for _, frame := range seedFrames() {
		f.Add(mustMarshal(f, frame))
	}
	f.Fuzz(func(t *testing.T, b []byte) { compareFrame(t, b) })
}

func compareFrame(t *testing.T, b []byte) {
	var f Frame
	var got *pb.Frame
	err := f.Unmarshal(b)
	if err == nil {
		got, err = toProto(&f)
	}
	want := &pb.Frame{}
	generatedErr := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, want)
	switch {
	case err != nil && generatedErr == nil && !errors.Is(err, errTwice):
		t.Fatalf("got the error %v, want none as the generated code", err)
	case err != nil || generatedErr != nil:
		// The generated code may refuse more: text that is not UTF-8 and field
		// numbers that nobody can have.
		return
	}
	if diff := diff(normal(want), got); diff != "" {
		t.Fatalf("decoded frames differ (-generated +got):\n%s", diff)
	}
	if f.Check() != nil {
		return
	}
	again, err := proto.Marshal(got)
	if err != nil {
		t.Fatalf("encoding it again: %v", err)
	}
	var second Frame
	if err := second.Unmarshal(again); err != nil {
		t.Fatalf("decoding it again: %v", err)
	}
	if err := second.Check(); err != nil {
		t.Fatalf("checking it again: %v", err)
	}
	p, err := toProto(&second)
	if err != nil {
		t.Fatalf("decoding it again: %v", err)
	}
	if diff := diff(got, p); diff != "" {
		t.Fatalf("a frame changed on its way (-before +after):\n%s", diff)
	}
}

// FuzzBatch compares how batches are cut with the generated code, on any bytes.
func FuzzBatch(f *testing.F) {
	f.Add(mustMarshal(f, &pb.Batch{Frames: seedFrames()}))
	f.Add(join(field(1, nil), varint(9, 1), field(1, []byte("x"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		var frames [][]byte
		var err error
		for rest := b; ; {
			var frame []byte
			if frame, rest, err = NextFrame(rest); err != nil || frame == nil {
				break
			}
			frames = append(frames, frame)
			compareFrame(t, frame)
		}
		want := &pb.Batch{}
		generatedErr := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, want)
		if generatedErr != nil {
			return // a frame of it, or what FuzzFrame says
		}
		if err != nil {
			t.Fatalf("got the error %v, want none as the generated code", err)
		}
		if len(frames) != len(want.GetFrames()) {
			t.Fatalf("got %d frames, want %d as the generated code", len(frames), len(want.GetFrames()))
		}
	})
}

// What the decoder takes and the generated code does not is known and harmless.
func TestDecoderTakesMoreThanTheGeneratedCode(t *testing.T) {
	for name, b := range map[string][]byte{
		"a method that is not UTF-8":       field(fieldBegin, field(1, []byte{0xff})),
		"a metadata key that is not UTF-8": field(fieldHeader, field(1, field(1, []byte{0xff}))),
		"a field number above the highest": varint(1<<29, 1),
	} {
		if err := proto.Unmarshal(b, &pb.Frame{}); err == nil {
			t.Errorf("%s: the generated code got no error, want one", name)
		}
		var f Frame
		if err := f.Unmarshal(b); err != nil {
			t.Errorf("%s: got the error %v, want none", name, err)
		}
	}
}

func TestPartsHaveNames(t *testing.T) {
	if got, want := (PartBegin | PartMessage | PartHalfClose).String(), "begin+message+half_close"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Parts(0).String(); got != "nothing" {
		t.Errorf("got %q, want %q", got, "nothing")
	}
	for p := PartBegin; p <= PartClose; p <<= 1 {
		if name := p.String(); name == "" || strings.Contains(name, "+") {
			t.Errorf("the part %b is called %q, want one name", p, name)
		}
	}
}
