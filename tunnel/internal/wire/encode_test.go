package wire

import (
	"bytes"
	"testing"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

func generateMD(t *rapid.T, label string) metadata.MD {
	return rapid.MapOfN(text, rapid.SliceOfN(rapid.StringN(0, 5, -1), 0, 2), 0, 2).Draw(t, label)
}

// callFrame is a frame about a call as a sender makes it, and the same as a
// generated message.
func callFrame(t *rapid.T) ([]byte, *pb.Frame) {
	want := &pb.Frame{CallId: rapid.Uint64Min(1).Draw(t, "call id")}
	var pre, post []byte
	switch rapid.SampledFrom([]string{"", "begin", "header", "window"}).Draw(t, "before") {
	case "begin":
		h := Head{
			Method: text.Draw(t, "method"), Codec: text.Draw(t, "codec"),
			Compressor: text.Draw(t, "compressor"),
		}
		for range rapid.IntRange(0, 2).Draw(t, "metadata") {
			h.Metadata = append(h.Metadata, generateMD(t, "metadata"))
		}
		want.Begin = &pb.Begin{Method: h.Method, Codec: h.Codec, Compressor: h.Compressor}
		if pairs := sortedPairs(h.Metadata...); pairs != nil {
			want.Begin.Metadata = &pb.Metadata{Pairs: pairs}
		}
		if rapid.Bool().Draw(t, "has timeout") {
			h.HasTimeout, h.Timeout = true, generateUint(t, "timeout")
			want.Begin.TimeoutUs = &h.Timeout
		}
		pre = AppendBegin(nil, h)
	case "header":
		md := generateMD(t, "header")
		want.Header = &pb.Metadata{Pairs: sortedPairs(md)}
		pre = AppendHeader(nil, md)
	case "window": // it goes alone
		want.Window = rapid.Uint64Min(1).Draw(t, "window")
		return AppendCallFrame(nil, want.GetCallId(), AppendWindow(nil, want.Window), nil, nil), want
	}
	var p *Piece
	if rapid.Bool().Draw(t, "has message") {
		p = &Piece{
			Data: generateBytes(t, "message"), Size: generateUint(t, "size"),
			Compressed: rapid.Bool().Draw(t, "compressed"), Blocked: rapid.Bool().Draw(t, "blocked"),
		}
		want.Message, want.MessageSize, want.Compressed, want.Blocked = p.Data, p.Size, p.Compressed, p.Blocked
	}
	switch rapid.SampledFrom([]string{"", "half close", "end", "cancel"}).Draw(t, "after") {
	case "half close":
		want.HalfClose = true
		post = HalfClose
	case "cancel":
		want.Cancel = true
		post = Cancel
	case "end":
		tail := Tail{
			Code:    rapid.OneOf(rapid.Uint32Range(0, 16), rapid.Uint32()).Draw(t, "code"),
			Message: string(generateBytes(t, "status message")),
			Trailer: generateMD(t, "trailer"),
			Refused: rapid.Bool().Draw(t, "refused"),
		}
		if d := generateBytes(t, "details"); len(d) > 0 {
			tail.Details = d
		}
		want.End = &pb.End{Refused: tail.Refused}
		if tail.Code != 0 || tail.Message != "" || tail.Details != nil {
			want.End.Status = &pb.Status{Code: tail.Code, Message: []byte(tail.Message), Details: tail.Details}
		}
		if pairs := sortedPairs(tail.Trailer); pairs != nil {
			want.End.Trailer = &pb.Metadata{Pairs: pairs}
		}
		post = AppendEnd(nil, tail)
	}
	size := len(pre) + len(post)
	if p != nil {
		size += len(p.Data)
	}
	b := AppendCallFrame(nil, want.GetCallId(), pre, p, post)
	if got := len(b) - size; got > FrameOverhead {
		t.Fatalf("a frame adds %d bytes to its contents, want at most %d", got, FrameOverhead)
	}
	return b, want
}

// What the encoder writes, the generated code reads; and but for the order of
// metadata it would have written the same bytes.
func TestEncodesWhatTheGeneratedCodeDecodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		want := &pb.Batch{}
		for range rapid.IntRange(0, 3).Draw(t, "frames") {
			var frame []byte
			var f *pb.Frame
			if rapid.Bool().Draw(t, "about a call") {
				frame, f = callFrame(t)
			} else {
				frame, f = sessionFrame(t)
			}
			b = append(b, frame...)
			want.Frames = append(want.Frames, f)
		}
		got := &pb.Batch{}
		if err := proto.Unmarshal(b, got); err != nil {
			t.Fatalf("got the error %v, want none", err)
		}
		ordered := true
		for _, f := range got.GetFrames() {
			for _, md := range []*pb.Metadata{f.GetHeader(), f.GetBegin().GetMetadata(), f.GetEnd().GetTrailer()} {
				if len(md.GetPairs()) > 1 {
					ordered = false
					sortPairs(md.GetPairs())
				}
			}
		}
		for _, f := range want.GetFrames() {
			if f.GetBegin().GetMetadata() != nil {
				sortPairs(f.GetBegin().GetMetadata().GetPairs())
			}
		}
		if diff := diff(want, got); diff != "" {
			t.Fatalf("encoded frames differ (-want +got):\n%s", diff)
		}
		generated, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if ordered && !bytes.Equal(generated, b) {
			t.Fatalf("got the bytes\n%x, want as the generated code\n%x", b, generated)
		}
	})
}

// sessionFrame is a frame about the session as a sender makes it, and the same
// as a generated message.
func sessionFrame(t *rapid.T) ([]byte, *pb.Frame) {
	v := rapid.Uint64Min(1).Draw(t, "value")
	marshal := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var part []byte
	want := &pb.Frame{}
	switch rapid.SampledFrom([]string{"hello", "ping", "pong", "received", "go away", "done", "close"}).Draw(t, "part") {
	case "hello":
		want.Hello = &pb.Hello{Version: 1, SessionId: text.Draw(t, "session")}
		part = AppendHello(nil, marshal(want.GetHello()))
	case "ping":
		want.Ping, part = v, AppendPing(nil, v)
	case "pong":
		want.Pong, part = v, AppendPong(nil, v)
	case "received":
		want.Received, part = v, AppendReceived(nil, v)
	case "go away":
		want.GoAway = &pb.GoAway{Reason: text.Draw(t, "reason")}
		part = AppendGoAway(nil, marshal(want.GetGoAway()))
	case "done":
		want.Done, part = true, Done
	case "close":
		want.Close = generateStatus(t)
		part = AppendClose(nil, marshal(want.GetClose()))
	}
	return AppendSessionFrame(nil, part), want
}
