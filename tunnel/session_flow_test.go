package tunnel

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// wide makes windows no concern of a test.
func wide(h *pb.Hello) { h.CallWindow = 1 << 30 }

// assembly puts the pieces of a call's messages together, as a peer must.
type assembly struct {
	t       *testing.T
	size    uint64 // of the message under way
	data    []byte
	pieces  int
	blocked int
	window  int64 // what the sender may send
}

// add takes a frame with a piece and reports whether the message is complete.
func (a *assembly) add(f *pb.Frame) bool {
	a.t.Helper()
	n := len(f.GetMessage())
	first := a.size == 0
	a.window -= cost(n, first)
	if f.Message == nil || n > wire.MaxPiece || !first && n == 0 || a.window < 0 {
		a.t.Fatalf("got a piece of %d bytes and a window of %d left, want a piece that fits", n, a.window)
	}
	if first {
		a.data, a.size = nil, max(f.GetMessageSize(), uint64(n))
	} else if f.GetMessageSize() != 0 {
		a.t.Fatalf("got a message size of %d on a further piece, want none", f.GetMessageSize())
	}
	a.pieces++
	if f.GetBlocked() {
		a.blocked++
	}
	a.data = append(a.data, f.GetMessage()...)
	if uint64(len(a.data)) > a.size {
		a.t.Fatalf("got %d bytes of a message of %d", len(a.data), a.size)
	}
	if uint64(len(a.data)) < a.size {
		return false
	}
	a.size = 0
	return true
}

// A large message goes out in pieces that fill a batch each, and no more.
func TestChunks(t *testing.T) {
	for _, size := range []int{wholePiece, wholePiece + 1, 33 << 10, 100_000, 1 << 20} {
		bubble(t, func(t *testing.T) {
			p := accepted(t, Config{}, wide)
			m, encoded := sized(size)
			start(t, func() error { return p.session.Invoke(t.Context(), unaryMethod, m, &wrapperspb.BytesValue{}) })
			a := &assembly{t: t, window: 1 << 30}
			for done := false; !done; {
				f := p.next("a piece")
				if done = a.add(f); done != f.GetHalfClose() {
					t.Fatalf("got half_close: %v, message complete: %v, want both or none", f.GetHalfClose(), done)
				}
			}
			if got := string(a.data); got != string(encoded) {
				t.Errorf("%d bytes: got %d bytes, want those of the message", size, len(got))
			}
			if size <= wholePiece && a.pieces != 1 {
				t.Errorf("%d bytes: got %d pieces, want a whole message", size, a.pieces)
			}
			if least := (size + chunk - 1) / chunk; size > wholePiece && a.pieces > least+1 {
				t.Errorf("%d bytes: got %d pieces, want about %d", size, a.pieces, least)
			}
			for i, n := range p.sizes {
				most := streamBatch
				if i == len(p.sizes)-1 {
					most = wholePiece + streamBatch - chunk // what is left is not split either
				}
				if n > most {
					t.Errorf("%d bytes: got a batch of %d bytes, want at most %d", size, n, most)
				}
			}
			if a.blocked > 0 {
				t.Errorf("%d bytes: got %d pieces blocked, want none", size, a.blocked)
			}
		})
	}
}

// A confirmation travels with the next piece, not before it.
func TestConfirmationsTravelWithPieces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{}, func(h *pb.Hello) { h.CallWindow = chunk + wire.MessageOverhead })
		m, _ := sized(20 * chunk)
		start(t, func() error { return p.session.Invoke(t.Context(), unaryMethod, m, &wrapperspb.BytesValue{}) })
		p.next("a piece")
		for range 3 {
			before := p.transport.sends.Load()
			p.mute = true
			p.sendBytes(append(field(99, make([]byte, ackWith)), encodedBatch(window(1, chunk))...))
			p.next("a piece")
			if p.confirmed != p.sent {
				t.Errorf("got %d bytes confirmed, want all %d", p.confirmed, p.sent)
			}
			if got := p.transport.sends.Load() - before; got != 1 {
				t.Errorf("got %d batches for a piece, want 1", got)
			}
		}
	})
}

// Two large messages take turns, and a small one does not wait for either.
func TestFairInterleaving(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{}, wide)
		p.transport.inline.Store(0)
		p.transport.shut()
		large, _ := sized(10 * chunk)
		invoke := func(m proto.Message) {
			start(t, func() error { return p.session.Invoke(t.Context(), unaryMethod, m, &wrapperspb.BytesValue{}) })
			p.wantIdle("the transport is slow")
		}
		invoke(large)
		invoke(large)
		invoke(text("small"))
		p.transport.open()
		var order []uint64
		for ended := 0; ended < 3; {
			f := p.next("a piece")
			order = append(order, f.GetCallId())
			if f.GetHalfClose() {
				ended++
			}
		}
		// The first piece of the first call was being sent already.
		if small := order[3]; order[0] != 1 || small != 5 {
			t.Errorf("got the calls in the order %v, want the small one, 5, in the first turn", order)
		}
		for i := 5; i < len(order)-1; i++ {
			if order[i] == order[i-1] {
				t.Fatalf("got the calls in the order %v, want them to take turns", order)
			}
		}
	})
}

// A sender stops when the window is used up, says so, and goes on with more.
func TestWindowOfTheSender(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		m, encoded := sized(200_000)
		call := start(t, func() error { return p.session.Invoke(t.Context(), unaryMethod, m, &wrapperspb.BytesValue{}) })
		a := &assembly{t: t, window: 64 << 10}
		stopped := 0
		for complete := false; !complete; {
			p.read()
			if len(p.batches) > 0 {
				complete = a.add(p.next("a piece"))
				continue
			}
			if a.window >= sliver {
				t.Fatalf("got a pause with a window of %d bytes left, want it used", a.window)
			}
			if stopped++; a.blocked != stopped {
				t.Fatalf("got %d pieces that say blocked at the stop %d, want one each", a.blocked, stopped)
			}
			// Another call is not stopped.
			other, _ := p.invoke(t.Context(), "other")
			f := p.next("another call")
			if f.GetBegin() == nil || f.GetCallId() == 1 {
				t.Fatalf("got %v, want another call", f)
			}
			p.send(answer(f.GetCallId(), ""))
			if err := other.wait("another call"); err != nil {
				t.Fatal(err)
			}
			p.send(window(1, 10_000))
			a.window += 10_000
		}
		if string(a.data) != string(encoded) {
			t.Error("got other bytes, want those of the message")
		}
		p.send(answer(1, ""))
		if err := call.wait("the call"); err != nil {
			t.Error(err)
		}
	})
}

// A whole message says blocked, too, if the next one has to wait for window.
func TestBlockedBehindAMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{}, func(h *pb.Hello) { h.CallWindow = 1024 })
		p.transport.inline.Store(0)
		stream := p.stream(t.Context(), bidiDesc)
		p.want("a call", begin(1, bidiMethod))
		p.transport.shut()
		m, encoded := sized(512 - wire.MessageOverhead)
		for range 3 {
			if err := stream.SendMsg(m); err != nil {
				t.Fatal(err)
			}
			p.wantIdle("the transport is slow")
		}
		p.transport.open()
		last := nextPiece(1, encoded)
		last.Blocked = true
		p.want("two fill the window, and there is a third", nextPiece(1, encoded), last)
		p.wantIdle("it waits")
		p.send(window(1, 512))
		p.want("there is no fourth", nextPiece(1, encoded))
	})
}

// With the smallest window there is no deadlock: when all has been read, the
// sender can go on.
func TestSmallestWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{}, func(h *pb.Hello) { h.CallWindow = wire.MinCallWindow })
		stream := p.stream(t.Context(), bidiDesc)
		p.want("a call", begin(1, bidiMethod))
		sizes := []int{0, 500, 5000, 3, 959, 960, 961, 30_000, 0, 0}
		sending := start(t, func() error {
			for _, n := range sizes {
				m, _ := sized(n)
				if err := stream.SendMsg(m); err != nil {
					return err
				}
			}
			return stream.CloseSend()
		})
		a := &assembly{t: t, window: wire.MinCallWindow}
		recv := newRecvWindow(wire.MinCallWindow)
		for i, n := range sizes {
			for {
				first := a.size == 0
				f := p.next("a piece")
				complete := a.add(f)
				if grant := recv.consume(cost(len(f.GetMessage()), first)); grant > 0 {
					a.window += int64(grant) //nolint:gosec // small
					p.send(window(1, grant))
				}
				if complete {
					break
				}
			}
			if len(a.data) != n {
				t.Fatalf("message %d: got %d bytes, want %d", i, len(a.data), n)
			}
		}
		if err := sending.wait("sending"); err != nil {
			t.Error(err)
		}
	})
}

// A reader that stands still stops its own call, and no other.
func TestStalledReader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStall()
		defer s.release()
		read := make(chan int)
		p := dialled(t, Config{MaxCallWindow: 64 << 10, Services: testService{stream: func(stream grpc.ServerStream) error {
			for range <-read {
				if _, err := receive(stream); err != nil {
					return err
				}
			}
			<-read
			return nil
		}}.services()})
		p.send(begin(1, bidiMethod))
		const size, messages = 8192 - 64, 8
		for range messages {
			p.send(nextPiece(1, encodedSize(size)))
		}
		for id := uint64(3); id < 200; id += 2 {
			p.send(request(id, "others"))
			p.want("others go on", answer(id, "others"))
		}
		p.wantIdle("nobody has read what came on the call")
		read <- messages - 1
		p.want("half of the window is given back when it has been read", window(1, 32<<10))
		p.wantIdle("what is less waits")
		read <- 0
		p.want("the call goes on", end(1))
	})
}

// So does a caller that does not read.
func TestStalledCaller(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		stream := p.stream(t.Context(), bidiDesc)
		p.want("a call", begin(1, bidiMethod))
		const size, messages = 8192 - 64, 8
		for range messages {
			p.send(nextPiece(1, encodedSize(size)))
		}
		for id := uint64(3); id < 200; id += 2 {
			call, _ := p.invoke(t.Context(), "others")
			p.want("others go on", request(id, "others"))
			p.send(answer(id, "others"))
			if err := call.wait("another call"); err != nil {
				t.Fatal(err)
			}
		}
		for i := range messages - 1 {
			if i == messages/2-1 {
				p.wantIdle("less than half of the window has been read")
			}
			if _, err := receive(stream); err != nil {
				t.Fatal(err)
			}
		}
		p.want("half of it has", window(1, 32<<10))
		p.wantIdle("what is less waits")
	})
}

// A window grows while the reader keeps up with a sender that has to stop.
func TestWindowGrows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{MaxCallWindow: 256 << 10})
		stream := p.stream(t.Context(), serverDesc)
		if err := stream.SendMsg(text("")); err != nil {
			t.Fatal(err)
		}
		p.next("a request")
		reading := start(t, func() error {
			for {
				if _, err := receive(stream); err != nil {
					return err
				}
			}
		})
		blocked := func() *pb.Frame {
			return &pb.Frame{CallId: 1, Message: encodedSize(1000 - wire.MessageOverhead), Blocked: true}
		}
		for _, step := range []struct {
			why  string
			want uint64
		}{
			{"it is doubled, and what was read is given back", 64<<10 + 1000},
			{"and doubled again", 128<<10 + 1000},
			{"but not above the limit", 1000},
			{"not even later", 1000},
		} {
			p.send(blocked())
			p.want(step.why, window(1, step.want))
		}
		for range 5 {
			p.send(message(1, "not blocked"))
		}
		p.wantIdle("small change waits")
		p.send(end(1))
		if err := reading.wait("reading"); err != io.EOF {
			t.Errorf("got the error %v, want %v", err, io.EOF)
		}
		if got := p.session.budget.left.Load(); got != defaultMaxBuffered {
			t.Errorf("got a budget of %d bytes at the end, want all %d", got, int64(defaultMaxBuffered))
		}
	})
}

// A message larger than what is left of the session's memory fails its call.
func TestNoRoomForAMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{MaxBuffered: 10_000, MaxCallWindow: 1})
		call, _ := p.invoke(t.Context(), "x")
		p.want("a call", request(1, "x"))
		other, reply := p.invoke(t.Context(), "y")
		p.want("another", request(3, "y"))
		const size = 3 << 20
		p.send(firstPiece(1, size, filled(16<<10)))
		for range 6 {
			p.send(nextPiece(1, filled(16<<10)))
			p.read()
		}
		call.wantErr("the call", codes.ResourceExhausted, OutcomeUnknown, `the limit "buffered" is reached`)
		p.send(answer(3, "fine"))
		if err := other.wait("another call"); err != nil || string(reply.GetValue()) != "fine" {
			t.Errorf("got %q and the error %v, want another call to go on", reply.GetValue(), err)
		}
		if got := p.session.budget.left.Load(); got != 10_000 {
			t.Errorf("got a budget of %d bytes at the end, want all", got)
		}
	})
}

// Without confirmations data stops, and control frames go on.
func TestBytesUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{}, wide)
		p.mute = true
		ctx, cancel := context.WithCancel(t.Context())
		stream := p.stream(ctx, bidiDesc)
		p.want("a call", begin(1, bidiMethod))
		m, _ := sized(1 << 20)
		sending := start(t, func() error { return stream.SendMsg(m) })
		a := &assembly{t: t, window: 1 << 30}
		p.read()
		for len(p.batches) > 0 {
			a.add(p.next("a piece"))
		}
		if p.received < minTransit || p.received > minTransit+streamBatch {
			t.Errorf("got %d bytes under way, want %d and at most a batch more", p.received, minTransit)
		}
		if a.blocked > 0 {
			t.Error("got a piece that says blocked, want none: the call's window is not used up")
		}
		small, _ := p.invoke(t.Context(), "small")
		p.wantIdle("data waits for confirmation, small or not")
		p.session.GoAway(GoAway{})
		p.want("control frames do not", &pb.Frame{GoAway: &pb.GoAway{}})
		cancel()
		p.want("neither does a cancel", cancelled(1))
		p.wantIdle("what was to be sent of the call is dropped")
		if err := sending.wait("sending"); err != nil && err != io.EOF {
			t.Errorf("got the error %v, want none or %v", err, io.EOF)
		}
		p.mute = false
		p.ack()
		p.want("the other call goes on", request(3, "small"))
		p.send(answer(3, ""))
		if err := small.wait("the small call"); err != nil {
			t.Error(err)
		}
	})
}

// SendMsg waits while much waits to be sent, and no longer than its context.
func TestSendAhead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{}, func(h *pb.Hello) { h.CallWindow = 1024 })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		stream := p.stream(ctx, bidiDesc)
		m, _ := sized(10_000)
		began := time.Now()
		sent := 0
		var err error
		for err == nil {
			if err = stream.SendMsg(m); err == nil {
				sent++
			}
		}
		if err != io.EOF || time.Since(began) != time.Second {
			t.Errorf("got the error %v after %v, want %v after a second", err, time.Since(began), io.EOF)
		}
		if sent != sendAhead/10_000+1 {
			t.Errorf("got %d messages taken, want %d", sent, sendAhead/10_000+1)
		}
		if _, err := receive(stream); err == nil || OutcomeOf(err) != OutcomeUnknown {
			t.Errorf("got the error %v (%v), want the deadline, unknown", err, OutcomeOf(err))
		}
		p.read()
		synctest.Wait()
	})
}
