package tunnel

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // a compressor for tests
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// These tests say what is on the wire, frame by frame and batch by batch.

func TestUnaryRequestIsOneFrame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		ctx = metadata.AppendToOutgoingContext(ctx, "key-bin", "\x00\xff")
		call, reply := p.invoke(ctx, "hello")
		timeout := uint64(1_500_000)
		want := request(1, "hello")
		want.Begin.TimeoutUs = &timeout
		want.Begin.Metadata = &pb.Metadata{Pairs: []*pb.Pair{{Key: "key-bin", Value: []byte("\x00\xff")}}}
		p.wantBatch("method, metadata, deadline, payload and end in one", want)
		p.send(answer(1, "hi"))
		if err := call.wait("the call"); err != nil || string(reply.GetValue()) != "hi" {
			t.Errorf("got %q and the error %v, want %q", reply.GetValue(), err, "hi")
		}
		if len(p.sizes) != 2 { // the hello is one
			t.Errorf("got %d batches, want one for the call", len(p.sizes)-1)
		}
	})
}

func TestUnaryAnswerIsOneFrame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialled(t, Config{Services: testService{unary: func(ctx context.Context, r string) (string, error) {
			if err := grpc.SetHeader(ctx, metadata.Pairs("h", "1")); err != nil {
				return "", err
			}
			return r, grpc.SetTrailer(ctx, metadata.Pairs("t", "2"))
		}}.services()})
		p.send(request(1, "x"))
		p.wantBatch("headers, payload, trailers and status in one", &pb.Frame{
			CallId: 1, Header: &pb.Metadata{Pairs: []*pb.Pair{{Key: "h", Value: []byte("1")}}}, Message: encodedText("x"),
			End: &pb.End{Trailer: &pb.Metadata{Pairs: []*pb.Pair{{Key: "t", Value: []byte("2")}}}},
		})
		if len(p.sizes) != 2 {
			t.Errorf("got %d batches, want one for the call", len(p.sizes)-1)
		}
	})
}

func TestUnaryFailureIsOneFrame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, err := status.New(codes.DataLoss, "gone \xff").WithDetails(wrapperspb.String("why"))
		if err != nil {
			t.Fatal(err)
		}
		p := dialled(t, Config{Services: testService{unary: func(context.Context, string) (string, error) { return "", st.Err() }}.services()})
		p.send(request(1, "x"))
		f := p.next("an end")
		details := f.GetEnd().GetStatus().GetDetails()
		f.GetEnd().GetStatus().Details = nil
		if want := failed(1, codes.DataLoss, "gone \xff"); !proto.Equal(f, want) {
			t.Errorf("got %v, want %v", f, want)
		}
		if got := endError(&endOf(t, f, details).End); status.Code(got) != codes.DataLoss || len(status.Convert(got).Details()) != 1 {
			t.Errorf("got the status %v with the details %v, want one detail", got, status.Convert(got).Details())
		}
		p.wantIdle("that is all")
	})
}

// endOf decodes a frame with these details put back.
func endOf(t *testing.T, f *pb.Frame, details []byte) *wire.Frame {
	t.Helper()
	f.GetEnd().GetStatus().Details = details
	b, err := proto.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire.Frame{}
	if err := w.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestCompressedCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		call, reply := p.invoke(t.Context(), "hello", grpc.UseCompressor("gzip"))
		f := p.next("a request")
		if f.GetBegin().GetCompressor() != "gzip" || !f.GetCompressed() {
			t.Errorf("got %v, want gzip and a compressed message", f)
		}
		// The handler may compress or not, message by message.
		p.send(&pb.Frame{CallId: 1, Message: f.GetMessage(), Compressed: true, End: &pb.End{}})
		if err := call.wait("the call"); err != nil || string(reply.GetValue()) != "hello" {
			t.Errorf("got %q and the error %v, want %q", reply.GetValue(), err, "hello")
		}
		call, _ = p.invoke(t.Context(), "hello")
		p.want("a call without", request(3, "hello"))
		p.send(&pb.Frame{CallId: 3, Message: f.GetMessage(), Compressed: true, End: &pb.End{}})
		call.wantErr("a compressed answer without a compressor", codes.Internal, OutcomeAnswered, "without a compressor")
	})
}

// A caller may say more with its first frame: window, or that it has changed its
// mind.
func TestBeginWithMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialled(t, Config{Services: testService{}.services()}, func(h *pb.Hello) { h.CallWindow = 1024 })
		f := begin(1, bidiMethod)
		f.Cancel = true
		p.send(f)
		p.wantIdle("a call that is given up is not answered")
		if n := p.session.InFlight(); n != 0 {
			t.Errorf("got %d calls under way, want none", n)
		}
		m := string(filled(2000))
		f = request(3, m)
		f.Window = 5000
		p.send(f)
		p.want("the window is enough for a whole answer", answer(3, m))
	})
}

// A server-streaming request is one frame; its messages are one frame each.
func TestServerStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		stream := p.stream(t.Context(), serverDesc)
		p.wantIdle("there is nothing to say without a request")
		if err := stream.SendMsg(text("x")); err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		want := request(1, "x")
		want.Begin.Method = serverMethod
		p.wantBatch("a request is one frame", want)
		p.send(&pb.Frame{CallId: 1, Header: &pb.Metadata{Pairs: []*pb.Pair{{Key: "h", Value: []byte("1")}}}})
		if md, err := stream.Header(); err != nil || len(md.Get("h")) != 1 {
			t.Errorf("got the header %v and the error %v, want h", md, err)
		}
		p.send(message(1, "a"), message(1, "b"))
		p.send(&pb.Frame{CallId: 1, End: &pb.End{Trailer: &pb.Metadata{Pairs: []*pb.Pair{{Key: "t", Value: []byte("2")}}}}})
		for _, want := range []string{"a", "b"} {
			if got, err := receive(stream); err != nil || got != want {
				t.Errorf("got %q and the error %v, want %q", got, err, want)
			}
		}
		if _, err := receive(stream); err != io.EOF {
			t.Errorf("got the error %v, want %v", err, io.EOF)
		}
		if md := stream.Trailer(); len(md.Get("t")) != 1 {
			t.Errorf("got the trailer %v, want t", md)
		}
		p.wantIdle("there is nothing to add")
	})
}

func TestServerStreamHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialled(t, Config{Services: testService{stream: func(stream grpc.ServerStream) error {
			r, err := receive(stream)
			if err != nil {
				return err
			}
			for i := range 3 {
				if err := stream.SendMsg(text(fmt.Sprint(r, i))); err != nil {
					return err
				}
			}
			return status.Error(codes.OutOfRange, "no more")
		}}.services()})
		r := request(1, "x")
		r.Begin.Method = serverMethod
		p.send(r)
		p.want("messages and an end", message(1, "x0"), message(1, "x1"), message(1, "x2"), failed(1, codes.OutOfRange, "no more"))
	})
}

// Who may take long to send does not keep the handler waiting; the half-close
// goes with the last message if that has not left.
func TestClientStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		stream := p.stream(t.Context(), clientDesc)
		p.want("it begins at once", begin(1, clientMethod))
		for _, m := range []string{"a", "b"} {
			if err := stream.SendMsg(text(m)); err != nil {
				t.Fatal(err)
			}
			p.want("a message at once", message(1, m))
		}
		p.transport.inline.Store(0)
		p.transport.shut()
		for _, m := range []string{"c", "d"} {
			if err := stream.SendMsg(text(m)); err != nil {
				t.Fatal(err)
			}
			p.wantIdle("the transport is slow")
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		p.transport.open()
		last := message(1, "d")
		last.HalfClose = true
		p.want("the rest", message(1, "c"), last)
		p.wantIdle("it is said once")
	})
}

func TestHalfCloseAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		if err := p.stream(t.Context(), bidiDesc).CloseSend(); err != nil {
			t.Fatal(err)
		}
		p.want("a call without messages", begin(1, bidiMethod), halfClose(1))
		if err := p.stream(t.Context(), serverDesc).CloseSend(); err != nil {
			t.Fatal(err)
		}
		f := begin(3, serverMethod)
		f.HalfClose = true
		p.want("one without a request", f)
	})
}

// What becomes ready while somebody sends goes out in one batch, in turn, and
// control frames before it.
func TestBatching(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		p.transport.inline.Store(0)
		ctx, cancel := context.WithCancel(t.Context())
		p.stream(ctx, bidiDesc)
		p.want("a call", begin(1, bidiMethod))
		p.transport.shut()
		var calls []*async
		for i := range 5 {
			c, _ := p.invoke(t.Context(), fmt.Sprint("call ", i))
			p.wantIdle("the transport is slow") // which also makes the order certain
			calls = append(calls, c)
		}
		cancel()
		p.wantIdle("the transport is slow")
		p.session.GoAway(GoAway{})
		p.wantIdle("the transport is slow")
		p.transport.open()
		p.wantBatch("the first was being sent", request(3, "call 0"))
		p.wantBatch("the others together", cancelled(1), &pb.Frame{GoAway: &pb.GoAway{}},
			request(5, "call 1"), request(7, "call 2"), request(9, "call 3"), request(11, "call 4"))
		p.send(answer(9, ""), answer(3, ""), answer(11, ""), answer(7, ""), answer(5, ""))
		for i, c := range calls {
			if err := c.wait("a call"); err != nil {
				t.Errorf("call %d: got the error %v, want none", i, err)
			}
		}
	})
}

// Answers in one batch may come in any order, and each finds its caller.
func TestAnswersInAnyOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		var calls []*async
		var replies []*wrapperspb.BytesValue
		for i := range uint64(10) {
			c, r := p.invoke(t.Context(), "x")
			p.want("a call", request(2*i+1, "x"))
			calls, replies = append(calls, c), append(replies, r)
		}
		var frames []*pb.Frame
		for i := range uint64(10) {
			id := 2*((i*7)%10) + 1
			frames = append(frames, answer(id, fmt.Sprint("to ", id)))
		}
		p.send(frames...)
		for i, c := range calls {
			if err := c.wait("a call"); err != nil || string(replies[i].GetValue()) != fmt.Sprint("to ", 2*i+1) {
				t.Errorf("call %d: got %q and the error %v", i, replies[i].GetValue(), err)
			}
		}
		if n := p.session.InFlight(); n != 0 {
			t.Errorf("got %d calls under way, want none", n)
		}
	})
}

// What is received is confirmed: with what is sent next if it is worth it, and by
// itself after 64 KiB.
func TestConfirmations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialled(t, Config{Services: testService{}.services()})
		before := p.confirmed
		for p.sent-before < ackEvery-200 {
			p.sendBytes(field(99, make([]byte, 100))) // nothing that is answered
		}
		if p.confirmed != before {
			t.Errorf("got %d bytes confirmed, want nothing yet", p.confirmed-before)
		}
		p.sendBytes(field(99, make([]byte, 200)))
		if p.confirmed != p.sent {
			t.Errorf("got %d bytes confirmed, want all %d", p.confirmed, p.sent)
		}
		before = p.confirmed
		p.send(request(1, "x"))
		p.want("an answer", answer(1, "x"))
		if p.confirmed != before {
			t.Errorf("got %d bytes confirmed with the answer, want no frame for so few", p.confirmed-before)
		}
		p.sendBytes(field(99, make([]byte, ackWith)))
		p.send(request(3, "x"))
		p.want("an answer", answer(3, "x"))
		if p.confirmed != p.sent {
			t.Errorf("got %d bytes confirmed with the answer, want all %d", p.confirmed, p.sent)
		}
	})
}
