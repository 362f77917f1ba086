package gateway

import (
	"bytes"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestCodecCopiesNothing passes a message on, in the buffers in which it came.
func TestCodecCopiesNothing(t *testing.T) {
	in := mem.BufferSlice{mem.SliceBuffer("one"), mem.SliceBuffer("two")}
	f := new(frame)
	if err := Codec().Unmarshal(in, f); err != nil {
		t.Fatal(err)
	}
	out, err := Codec().Marshal(f)
	if err != nil || len(out) != len(in) {
		t.Fatalf("got %d buffers, %v, want %d", len(out), err, len(in))
	}
	for i := range in {
		if &in[i].ReadOnlyData()[0] != &out[i].ReadOnlyData()[0] {
			t.Errorf("buffer %d was copied", i)
		}
	}
	if _, err := Codec().Marshal(f); err == nil {
		t.Error("a frame that has given its bytes away gives them again")
	}
}

// TestSharedFrame gives its bytes as often as it is asked.
func TestSharedFrame(t *testing.T) {
	f := new(frame)
	f.Take(mem.BufferSlice{mem.SliceBuffer("one")})
	f.shared = true
	for range 2 {
		out, err := Codec().Marshal(f)
		if err != nil || string(out.Materialize()) != "one" {
			t.Fatalf("got %q, %v", out.Materialize(), err)
		}
		out.Free()
	}
	f.free()
	if _, err := f.Give(); err == nil {
		t.Error("a frame that was freed gives its bytes")
	}
}

// TestCodecLeavesTheRest to gRPC's own, and frames are messages to any other codec for
// protobuf.
func TestCodecLeavesTheRest(t *testing.T) {
	want := wrapperspb.String("text")
	encoded, err := Codec().Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := new(wrapperspb.StringValue)
	if err := Codec().Unmarshal(encoded, got); err != nil || !proto.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := Codec().Marshal("no message"); err == nil {
		t.Error("what is no message was encoded")
	}
	f := new(frame)
	if err := proto.Unmarshal(encoded.Materialize(), f); err != nil {
		t.Fatal(err)
	}
	if again, err := proto.Marshal(f); err != nil || !bytes.Equal(again, encoded.Materialize()) {
		t.Errorf("got %x, %v, want %x", again, err, encoded.Materialize())
	}
}
