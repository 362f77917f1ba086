package wire

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// toProto translates a decoded frame to the generated type. It fails where the
// session would: on an encoded part that is malformed.
func toProto(f *Frame) (*pb.Frame, error) {
	p := &pb.Frame{
		CallId:      f.CallID,
		MessageSize: f.MessageSize,
		Compressed:  f.Compressed,
		Blocked:     f.Blocked,
		HalfClose:   f.Parts&PartHalfClose != 0,
		Cancel:      f.Parts&PartCancel != 0,
		Window:      f.Window,
		Ping:        f.Ping,
		Pong:        f.Pong,
		Received:    f.Received,
		Done:        f.Parts&PartDone != 0,
		Critical:    f.Critical,
	}
	var err error
	if f.Parts&PartBegin != 0 {
		p.Begin = &pb.Begin{Method: string(f.Begin.Method), Codec: string(f.Begin.Codec), Compressor: string(f.Begin.Compressor)}
		if f.Begin.HasTimeout {
			p.Begin.TimeoutUs = &f.Begin.Timeout
		}
		if f.Begin.Metadata != nil {
			if p.Begin.Metadata, err = toMetadata(f.Begin.Metadata); err != nil {
				return nil, err
			}
		}
	}
	if f.Parts&PartHeader != 0 {
		if p.Header, err = toMetadata(f.Header); err != nil {
			return nil, err
		}
	}
	if f.Parts&PartMessage != 0 {
		p.Message = append([]byte{}, f.Message...)
	}
	if f.Parts&PartEnd != 0 {
		p.End = &pb.End{Refused: f.End.Refused}
		if f.End.Code != 0 || len(f.End.Message) > 0 || len(f.End.Details) > 0 {
			p.End.Status = &pb.Status{Code: f.End.Code, Message: f.End.Message, Details: f.End.Details}
		}
		if f.End.Trailer != nil {
			if p.End.Trailer, err = toMetadata(f.End.Trailer); err != nil {
				return nil, err
			}
		}
	}
	if f.Parts&PartHello != 0 {
		p.Hello = &pb.Hello{}
		err = unmarshal(f.Hello, p.Hello, err)
	}
	if f.Parts&PartGoAway != 0 {
		p.GoAway = &pb.GoAway{}
		err = unmarshal(f.GoAway, p.GoAway, err)
	}
	if f.Parts&PartClose != 0 {
		p.Close = &pb.Status{}
		err = unmarshal(f.Close, p.Close, err)
	}
	return p, err
}

func unmarshal(b []byte, m proto.Message, err error) error {
	if err != nil {
		return err
	}
	return proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, m)
}

func toMetadata(b []byte) (*pb.Metadata, error) {
	m := &pb.Metadata{}
	err := EachPair(b, func(key, value []byte) {
		m.Pairs = append(m.Pairs, &pb.Pair{Key: string(key), Value: append([]byte(nil), value...)})
	})
	return m, err
}

// normal returns a copy of a generated frame in the form that toProto gives:
// an empty status is as none.
func normal(p *pb.Frame) *pb.Frame {
	p = proto.CloneOf(p)
	if st := p.GetEnd().GetStatus(); st != nil && st.GetCode() == 0 && len(st.GetMessage()) == 0 && len(st.GetDetails()) == 0 {
		p.End.Status = nil
	}
	return p
}

// diff returns how two messages differ, empty if they do not.
func diff(want, got proto.Message) string {
	if proto.Equal(want, got) { // this is fast
		return ""
	}
	return cmp.Diff(want, got, protocmp.Transform())
}

// text is a short string.
var text = rapid.StringN(0, 6, -1)

// The generators below make small values often and large ones sometimes.

func generateBytes(t *rapid.T, label string) []byte {
	n := rapid.OneOf(rapid.IntRange(0, 3), rapid.SampledFrom([]int{127, 128, 16383, 16384})).Draw(t, label+" size")
	b := make([]byte, n)
	for i := range min(n, 8) {
		b[i] = rapid.Byte().Draw(t, label)
	}
	return b
}

func generateUint(t *rapid.T, label string) uint64 {
	return rapid.OneOf(rapid.Uint64Range(0, 2), rapid.Uint64()).Draw(t, label)
}

func generateMetadata(t *rapid.T, label string) *pb.Metadata {
	m := &pb.Metadata{}
	for range rapid.IntRange(0, 3).Draw(t, label+" pairs") {
		m.Pairs = append(m.Pairs, &pb.Pair{Key: text.Draw(t, label+" key"), Value: generateBytes(t, label+" value")})
	}
	return m
}

func generateStatus(t *rapid.T) *pb.Status {
	return &pb.Status{
		Code:    rapid.OneOf(rapid.Uint32Range(0, 16), rapid.Uint32()).Draw(t, "code"),
		Message: generateBytes(t, "status message"),
		Details: generateBytes(t, "details"),
	}
}

// generateFrame makes any frame that the generated code can encode.
func generateFrame(t *rapid.T) *pb.Frame {
	has := func(part string) bool { return rapid.IntRange(0, 3).Draw(t, part) == 0 }
	f := &pb.Frame{CallId: generateUint(t, "call id")}
	if has("begin") {
		f.Begin = &pb.Begin{
			Method: text.Draw(t, "method"), Codec: text.Draw(t, "codec"),
			Compressor: text.Draw(t, "compressor"),
		}
		if has("metadata") {
			f.Begin.Metadata = generateMetadata(t, "metadata")
		}
		if has("timeout") {
			f.Begin.TimeoutUs = new(generateUint(t, "timeout"))
		}
	}
	if has("header") {
		f.Header = generateMetadata(t, "header")
	}
	if has("message") {
		f.Message = generateBytes(t, "message")
		f.Compressed = rapid.Bool().Draw(t, "compressed")
		f.Blocked = rapid.Bool().Draw(t, "blocked")
	}
	if has("message size") {
		f.MessageSize = generateUint(t, "message size")
	}
	f.HalfClose = has("half close")
	if has("end") {
		f.End = &pb.End{Refused: rapid.Bool().Draw(t, "refused")}
		if has("status") {
			f.End.Status = generateStatus(t)
		}
		if has("trailer") {
			f.End.Trailer = generateMetadata(t, "trailer")
		}
	}
	f.Cancel = has("cancel")
	if has("window") {
		f.Window = generateUint(t, "window")
	}
	if has("hello") {
		f.Hello = &pb.Hello{
			Version: rapid.Uint32().Draw(t, "version"), SessionId: text.Draw(t, "session"),
			Features:   rapid.SliceOfN(text, 0, 2).Draw(t, "features"),
			MaxCalls:   rapid.Uint32().Draw(t, "max calls"),
			CallWindow: generateUint(t, "call window"),
		}
	}
	if has("ping") {
		f.Ping = generateUint(t, "ping")
	}
	if has("pong") {
		f.Pong = generateUint(t, "pong")
	}
	if has("received") {
		f.Received = generateUint(t, "received")
	}
	if has("go away") {
		f.GoAway = &pb.GoAway{Reason: text.Draw(t, "reason")}
	}
	f.Done = has("done")
	if has("close") {
		f.Close = generateStatus(t)
	}
	f.Critical = has("critical")
	return f
}

// sortedPairs returns metadata as pairs, in the order of keys.
func sortedPairs(mds ...metadata.MD) []*pb.Pair {
	var pairs []*pb.Pair
	for _, md := range mds {
		for k, vs := range md {
			for _, v := range vs {
				pairs = append(pairs, &pb.Pair{Key: k, Value: []byte(v)})
			}
		}
	}
	return sortPairs(pairs)
}

func sortPairs(pairs []*pb.Pair) []*pb.Pair {
	slices.SortStableFunc(pairs, func(a, b *pb.Pair) int {
		switch {
		case a.GetKey() < b.GetKey():
			return -1
		case a.GetKey() > b.GetKey():
			return 1
		}
		return 0
	})
	return pairs
}

func mustMarshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatalf("encoding %v: %v", m, err)
	}
	return b
}
