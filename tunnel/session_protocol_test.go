package tunnel

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// violation is what a peer must not do.
type violation struct {
	name   string
	script []*pb.Frame // each in a batch of its own; all but the last are fine
	text   string      // part of the reason
}

type script = []*pb.Frame

// filled is a piece of a message.
func filled(n int) []byte { return make([]byte, n) }

// callViolations break the rules about a call, whoever began it. The id of the
// call is set later.
func callViolations() []violation {
	return []violation{
		{"a message size that the first piece reaches", script{firstPiece(1, 5, filled(5))}, "a message size that its first piece reaches"},
		{"a message size that the first piece exceeds", script{firstPiece(1, 5, filled(6))}, "a message size that its first piece reaches"},
		{"pieces beyond the message size", script{firstPiece(1, 5, filled(3)), nextPiece(1, filled(3))}, "a piece that does not fit its message"},
		{"a message size on a further piece", script{firstPiece(1, 5, filled(1)), firstPiece(1, 5, filled(1))}, "a piece that does not fit its message"},
		{"an empty first piece", script{firstPiece(1, 5, filled(0))}, "an empty piece"},
		{"an empty further piece", script{firstPiece(1, 5, filled(1)), nextPiece(1, filled(0))}, "an empty piece"},
		{"a piece of more than 64 KiB", script{nextPiece(1, filled(wire.MaxPiece+1))}, "a message piece of 65537 bytes, above the limit of 65536"},
		{"more than the window", script{
			nextPiece(1, encodedSize(16<<10)), nextPiece(1, encodedSize(16<<10)), nextPiece(1, encodedSize(16<<10)),
			nextPiece(1, encodedSize(16<<10-3*64)),
		}, "more than the window of a call allows"},
		{"a window beyond all measure", script{window(1, 1<<31)}, "opened a window beyond all measure"},
		{"a window that adds up to too much", script{window(1, 1<<30), window(1, 1<<30)}, "opened a window beyond all measure"},
		{"a size of no message", script{{CallId: 1, MessageSize: 5}}, "message attributes without a message"},
		{"a compressed nothing", script{{CallId: 1, Compressed: true}}, "message attributes without a message"},
		{"a blocked nothing", script{{CallId: 1, Blocked: true}}, "message attributes without a message"},
		{"a ping for a call", script{{CallId: 1, Ping: 1}}, "a session's part with a call id"},
		{"a confirmation for a call", script{{CallId: 1, Received: 1}}, "a session's part with a call id"},
		{"a go_away for a call", script{{CallId: 1, GoAway: &pb.GoAway{}}}, "a session's part with a call id"},
		{"a close for a call", script{{CallId: 1, Close: &pb.Status{}}}, "a session's part with a call id"},
		{"a done for a call", script{{CallId: 1, Done: true}}, "a session's part with a call id"},
		{"a hello for a call", script{{CallId: 1, Hello: peerHello()}}, "a session's part with a call id"},
		{"a critical frame of an unknown kind", script{{CallId: 1, Critical: true}}, "a critical frame of a kind that this end does not know"},
		{"a message of a call that was never begun", script{message(7, "x")}, "call 7: a frame of a call that was never begun"},
		{"a window for a call that was never begun", script{window(7, 1)}, "never begun"},
		{"a message of a call that this end never began", script{message(8, "x")}, "never begun"},
		{"a cancel of a call that was never begun", script{cancelled(9)}, "never begun"},
	}
}

// handlerViolations break the rules about a call at its handler.
func handlerViolations() []violation {
	with := func(f *pb.Frame, change func(f *pb.Frame)) *pb.Frame {
		change(f)
		return f
	}
	return []violation{
		{"a header of a request", script{{CallId: 1, Header: &pb.Metadata{}}}, "parts (header) that do not go with a call of the peer"},
		{"an end of a request", script{end(1)}, "parts (end) that do not go with a call of the peer"},
		{"a header with a begin", script{with(begin(3, bidiMethod), func(f *pb.Frame) { f.Header = &pb.Metadata{} })}, "parts (header) that do not go with the begin"},
		{"an end with a begin", script{with(request(3, ""), func(f *pb.Frame) { f.End = &pb.End{} })}, "parts (end) that do not go with the begin"},
		{"a begin without a call", script{with(request(3, ""), func(f *pb.Frame) { f.CallId = 0 })}, "a call's part without a call id"},
		{"a second begin", script{begin(1, bidiMethod)}, "call 1: a call id that is not above those before it"},
		{"a call id below the last", script{begin(5, bidiMethod), begin(3, bidiMethod)}, "call 3: a call id that is not above those before it"},
		{"an even call id of the server", script{begin(2, bidiMethod)}, "call 2: a call id that is not the peer's to choose"},
		{"a message after half_close", script{halfClose(1), message(1, "x")}, "call 1: a message in the phase closed"},
		{"a second half_close", script{halfClose(1), halfClose(1)}, "a half close in the phase closed"},
		{"half_close within a message", script{firstPiece(1, 5, filled(1)), halfClose(1)}, "a half close in the phase pieces"},
		{"half_close with a first piece", script{with(firstPiece(1, 5, filled(1)), func(f *pb.Frame) { f.HalfClose = true })}, "a half close in the phase pieces"},
		{"a done with a call under way, for a call", script{{CallId: 1, Done: true}}, "a session's part with a call id"},
	}
}

// callerViolations break the rules about a call at its caller.
func callerViolations() []violation {
	header := func() *pb.Frame { return &pb.Frame{CallId: 1, Header: &pb.Metadata{}} }
	return []violation{
		{"a begin with the id of a call under way", script{begin(1, unaryMethod)}, "call 1: a call id that is not the peer's to choose"},
		{"an odd call id of the client", script{begin(99, unaryMethod)}, "call 99: a call id that is not the peer's to choose"},
		{"half_close of a response", script{halfClose(1)}, "a part of a request (half_close) on a call of this end"},
		{"a cancel of a response", script{cancelled(1)}, "a part of a request (cancel) on a call of this end"},
		{"a second header", script{header(), header()}, "call 1: a header in the phase messages"},
		{"a header after a message", script{message(1, "x"), header()}, "a header in the phase messages"},
		{"a header within a message", script{firstPiece(1, 5, filled(1)), header()}, "a header in the phase pieces"},
		{"an end within a message", script{firstPiece(1, 5, filled(1)), end(1)}, "an end in the phase pieces"},
		{"an end with a first piece", script{{CallId: 1, Message: filled(1), MessageSize: 5, End: &pb.End{}}}, "an end in the phase pieces"},
		{"a message after the end", script{end(1), message(1, "x")}, "call 1: frames of a call after its end"},
		{"a second end", script{end(1), end(1)}, "frames of a call after its end"},
		{"a header after the end", script{end(1), header()}, "frames of a call after its end"},
		{"a done of the client", script{{Done: true}}, "a frame that only the other end may send"},
	}
}

// sessionViolations break the rules about a session. The bytes are batches.
var sessionViolations = []struct {
	name    string
	batches [][]byte
	text    string
}{
	{"no protobuf", [][]byte{[]byte("this is no protobuf")}, "malformed protobuf"},
	{"a frame cut short", [][]byte{{1<<3 | 2, 200, 1}}, "malformed protobuf"},
	{"a malformed frame", [][]byte{frameBytes([]byte{0xff})}, "malformed protobuf"},
	{"a malformed begin", [][]byte{frameBytes(append(varint(1, 3), field(2, []byte{0xff})...))}, "malformed protobuf"},
	{"a malformed go_away", [][]byte{frameBytes(field(16, []byte{0xff}))}, "go_away"},
	{"a malformed close", [][]byte{frameBytes(field(18, []byte{0xff}))}, "close"},
	{"a part twice", [][]byte{frameBytes(append(field(16, nil), field(16, nil)...))}, "a part stands twice in one frame"},
	{"a batch of more than 1 MiB", [][]byte{field(2, make([]byte, wire.MaxBatch))}, "a batch of 1048580 bytes, above the limit of 1048576"},
	{"a message without a call", [][]byte{encodedBatch(&pb.Frame{Message: filled(1)})}, "a call's part without a call id"},
	{"a cancel without a call", [][]byte{encodedBatch(&pb.Frame{Cancel: true})}, "a call's part without a call id"},
	{"a window without a call", [][]byte{encodedBatch(&pb.Frame{Window: 1})}, "a call's part without a call id"},
	{"a header beside a ping", [][]byte{encodedBatch(&pb.Frame{Ping: 1, Header: &pb.Metadata{}})}, "a call's part without a call id"},
	{"an unknown critical frame", [][]byte{frameBytes(append(varint(30, 1), varint(19, 1)...))}, "a critical frame of a kind that this end does not know"},
	{"a confirmation of more than was sent", [][]byte{encodedBatch(&pb.Frame{Received: 1 << 40})}, "confirmed bytes that were never sent"},
	{"a violation behind good frames", [][]byte{encodedBatch(&pb.Frame{}, &pb.Frame{Ping: 5}, &pb.Frame{Critical: true})}, "a critical frame"},
}

func TestSessionViolations(t *testing.T) {
	for _, test := range sessionViolations {
		t.Run(test.name, func(t *testing.T) {
			forBothRoles(t, func(t *testing.T, p *scriptedPeer) {
				for _, b := range test.batches {
					p.sendBytes(b)
				}
				p.wantClosed(codes.Internal, test.text)
			})
		})
	}
}

// A handler's context ends with the session, and what it does then does no harm.
func TestHandlerViolations(t *testing.T) {
	for _, v := range append(callViolations(), handlerViolations()...) {
		t.Run(v.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ended := make(chan error, 2)
				p := dialled(t, Config{Services: testService{stream: func(stream grpc.ServerStream) error {
					<-stream.Context().Done()
					ended <- stream.Context().Err()
					stream.SendMsg(text("too late"))
					return nil
				}}.services()})
				p.send(begin(1, bidiMethod))
				p.run(v)
				p.wantClosed(codes.Internal, v.text)
				if err := <-ended; err != context.Canceled {
					t.Errorf("got the handler's context ended with %v, want %v", err, context.Canceled)
				}
			})
		})
	}
}

// run plays a violation: nothing happens until its last frame.
func (p *scriptedPeer) run(v violation) {
	p.t.Helper()
	for i, f := range v.script {
		if p.session.ended() {
			p.t.Fatalf("frame %d: the session has ended: %v", i, p.session.Err())
		}
		p.send(f)
	}
}

// All callers learn of the end at once: what was sent has an unknown outcome,
// what comes later is not sent.
func TestCallerViolations(t *testing.T) {
	for _, v := range append(callViolations(), callerViolations()...) {
		t.Run(v.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := accepted(t, Config{Remote: Peer{Name: "c1"}})
				// The call with the id 1 is the one that is broken.
				stream := p.stream(t.Context(), bidiDesc)
				p.want("a stream begins at once", begin(1, bidiMethod))
				unary, _ := p.invoke(t.Context(), "x")
				p.want("another call", request(3, "x"))
				answered, _ := p.invoke(t.Context(), "y")
				p.want("a third call", request(5, "y"))
				p.send(answer(5, "y"))
				p.run(v)
				p.wantClosed(codes.Internal, v.text)

				if err := answered.wait("the call that was answered"); err != nil {
					t.Errorf("the call that was answered: got the error %v, want none", err)
				}
				unary.wantErr("the call under way", codes.Unavailable, OutcomeUnknown, `client "c1": the session has ended: pushtunnel: protocol error: `)
				if !strings.Contains(v.name, "end") {
					start(t, func() error {
						for {
							if _, err := receive(stream); err != nil {
								return err
							}
						}
					}).wantErr("the stream", codes.Unavailable, OutcomeUnknown, v.text)
				}
				late, _ := p.invoke(t.Context(), "z")
				late.wantErr("a call after the end", codes.Unavailable, OutcomeNotSent, v.text)
			})
		})
	}
}

// Frames of unknown kinds and unknown fields mean nothing to this version.
func TestUnknownIsSkipped(t *testing.T) {
	unknown := append(varint(30, 1), field(31, []byte("new"))...)
	forBothRoles(t, func(t *testing.T, p *scriptedPeer) {
		p.sendBytes(frameBytes(unknown))                                 // a kind of the session
		p.sendBytes(frameBytes(append(varint(1, 999), unknown...)))      // one of a call that is none
		p.sendBytes(field(99, []byte("beside the frames")))              //
		p.sendBytes(nil)                                                 // an empty batch
		p.sendBytes(frameBytes(append(varint(12, 5), varint(18, 6)...))) // fields of other types
		p.sendBytes(frameBytes(append(unknown, varint(13, 77)...)))      // a ping with more
		p.want("the ping is answered, whatever is with it", &pb.Frame{Pong: 77})
		p.wantIdle("the rest is skipped")
	})
}

// The caller may put unknown fields anywhere in a begin.
func TestUnknownFieldsOfACallAreIgnored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialled(t, Config{Services: testService{}.services()})
		unknown := append(varint(30, 1), field(31, []byte("new"))...)
		head := append(field(1, []byte(unaryMethod)), unknown...)
		head = append(head, field(2, append(field(1, append(field(1, []byte("k")), unknown...)), unknown...))...)
		frame := append(varint(1, 1), field(2, head)...)
		frame = append(frame, field(4, encodedText("x"))...)
		frame = append(append(frame, varint(8, 1)...), unknown...)
		p.sendBytes(frameBytes(frame))
		p.want("the call is served", answer(1, "x"))
	})
}

// A session that has ended takes no notice of what follows.
func TestNothingAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		served := 0
		p := dialled(t, Config{Services: testService{unary: func(context.Context, string) (string, error) {
			served++
			return "", nil
		}}.services()})
		p.send(&pb.Frame{Close: &pb.Status{Code: uint32(codes.Aborted), Message: []byte("enough")}}, request(1, "x"))
		p.send(request(3, "x"))
		p.wantEnded(codes.Aborted, "enough")
		if served != 0 {
			t.Errorf("got %d calls served after the close, want none", served)
		}
	})
}
