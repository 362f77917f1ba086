package tunnel

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

func TestSendWindowNext(t *testing.T) {
	for _, test := range []struct {
		name      string
		left      int64
		remaining int
		first     bool
		want      int
		ok        bool
	}{
		{"an empty message costs its overhead", 64, 0, true, 0, true},
		{"an empty message that is too dear", 63, 0, true, 0, false},
		{"nothing left", 0, 0, true, 0, false},
		{"a whole message", 65536, 100, true, 100, true},
		{"the largest that is not split", 65536, wholePiece, true, wholePiece, true},
		{"one byte more", 65536, wholePiece + 1, true, chunk, true},
		{"a further piece", 65536, wholePiece + 1, false, chunk, true},
		{"a tail", 65536, 10, false, 10, true},
		{"a small message that does not fit", 100, 37, true, 0, false},
		{"a small message that just fits", 100, 36, true, 36, true},
		{"a message cut to the window", 1000, 5000, true, 936, true},
		{"a tail cut to the window", 1000, 5000, false, 1000, true},
		{"the least that is cut off", sliver + wire.MessageOverhead, 5000, true, sliver, true},
		{"less than that", sliver + wire.MessageOverhead - 1, 5000, true, 0, false},
		{"less than that of a tail", sliver - 1, 5000, false, 0, false},
	} {
		w := sendWindow{left: test.left}
		n, ok := w.next(test.remaining, test.first)
		if ok != test.ok || ok && n != test.want {
			t.Errorf("%s: got %d, %v, want %d, %v", test.name, n, ok, test.want, test.ok)
		}
	}
}

func TestSendWindowOverflow(t *testing.T) {
	for _, test := range []struct {
		left int64
		add  uint64
		ok   bool
	}{
		{0, 1<<31 - 1, true},
		{1, 1<<31 - 2, true},
		{1, 1<<31 - 1, false},
		{0, 1 << 31, false},
		{0, 1 << 63, false},
		{0, 1<<64 - 1, false},
	} {
		w := sendWindow{left: test.left}
		err := w.add(test.add)
		if ok := err == nil; ok != test.ok {
			t.Errorf("%d and %d: got the error %v, want one: %v", test.left, test.add, err, !test.ok)
		}
		if want := test.left + int64(test.add); test.ok && w.left != want { //nolint:gosec // bounded where ok
			t.Errorf("%d and %d: got %d, want %d", test.left, test.add, w.left, want)
		}
	}
}

func TestRecvWindowRefusesTooMuch(t *testing.T) {
	w := newRecvWindow(1024)
	if err := w.receive(1024); err != nil {
		t.Errorf("all of it: got the error %v, want none", err)
	}
	if err := w.receive(1); err == nil {
		t.Error("a byte more: got no error, want one")
	}
	if grant := w.consume(511); grant != 0 {
		t.Errorf("less than half of it read: got %d bytes back, want 0 yet", grant)
	}
	if grant := w.consume(1); grant != 512 {
		t.Errorf("half of it read: got %d bytes back, want 512", grant)
	}
	if err := w.receive(513); err == nil {
		t.Error("more than was given back: got no error, want one")
	}
}

// windows is a sender and a receiver of one call, and what is between them.
type windows struct {
	send     sendWindow
	recv     recvWindow
	size     int64    // the model's: what the receiver agreed to hold
	messages []int    // sizes of the messages that wait
	off      int      // how much of the first has been sent
	pieces   []int64  // costs of the pieces under way or not consumed
	grants   []uint64 // under way
	unread   int64    // cost of all pieces received and not consumed
	arrived  int      // how many of pieces have arrived
}

// TestWindows runs a sender's window against a receiver's in any order of
// events. The sender never exceeds what the receiver allows; the receiver never
// holds more than its size, which grows only by grow; and when all has been
// read and every grant has come, the sender can go on.
func TestWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.Just(int64(wire.MinCallWindow)), rapid.Int64Range(wire.MinCallWindow, 128<<10)).Draw(t, "size")
		w := &windows{send: sendWindow{left: size}, recv: newRecvWindow(size), size: size}
		t.Repeat(map[string]func(*rapid.T){
			"message": func(t *rapid.T) {
				w.messages = append(w.messages, rapid.OneOf(rapid.IntRange(0, 2), rapid.IntRange(0, 100_000)).Draw(t, "bytes"))
			},
			"send":    w.sendPiece,
			"arrive":  w.arrive,
			"consume": w.consume,
			"grant":   w.grant,
			"grow": func(t *rapid.T) {
				n := rapid.Int64Range(1, 100_000).Draw(t, "by")
				w.recv.grow(n)
				w.size += n
				w.give(t, w.recv.flush())
			},
			"": w.check,
		})
		w.drain(t)
	})
}

func (w *windows) sendPiece(t *rapid.T) {
	if len(w.messages) == 0 {
		t.Skip("nothing to send")
	}
	first := w.off == 0
	n, ok := w.send.next(w.messages[0]-w.off, first)
	if !ok {
		t.Skip("no window")
	}
	w.take(t, n, first)
}

func (w *windows) take(t *rapid.T, n int, first bool) {
	last := w.off+n == w.messages[0]
	if n < 0 || n > wire.MaxPiece || !last && n < sliver {
		t.Fatalf("got a piece of %d bytes of %d, want at least %d and at most %d", n, w.messages[0]-w.off, sliver, wire.MaxPiece)
	}
	w.send.spend(n, first)
	if w.send.left < 0 {
		t.Fatalf("got %d bytes left, want none below 0", w.send.left)
	}
	w.pieces = append(w.pieces, cost(n, first))
	if w.off += n; last {
		w.messages, w.off = w.messages[1:], 0
	}
}

func (w *windows) arrive(t *rapid.T) {
	if w.arrived == len(w.pieces) {
		t.Skip("nothing under way")
	}
	c := w.pieces[w.arrived]
	w.arrived++
	w.unread += c
	if err := w.recv.receive(c); err != nil {
		t.Fatalf("a piece of %d bytes: got the error %v, want none", c, err)
	}
}

func (w *windows) consume(t *rapid.T) {
	if w.arrived == 0 {
		t.Skip("nothing to read")
	}
	c := w.pieces[0]
	w.pieces = w.pieces[1:]
	w.arrived--
	w.unread -= c
	w.give(t, w.recv.consume(c))
}

func (w *windows) give(t *rapid.T, n uint64) {
	if n == 0 {
		return
	}
	w.grants = append(w.grants, n)
	w.check(t)
}

func (w *windows) grant(t *rapid.T) {
	if len(w.grants) == 0 {
		t.Skip("nothing granted")
	}
	if err := w.send.add(w.grants[0]); err != nil {
		t.Fatalf("got the error %v, want none", err)
	}
	w.grants = w.grants[1:]
}

// check: what the sender may send, what is under way either way, what is unread
// and what is owed are the size, always.
func (w *windows) check(t *rapid.T) {
	var under, granted int64
	for _, c := range w.pieces[w.arrived:] {
		under += c
	}
	for _, n := range w.grants {
		granted += int64(n) //nolint:gosec // small
	}
	if w.recv.size != w.size {
		t.Fatalf("got a window of %d bytes, want %d: it grows only by grow", w.recv.size, w.size)
	}
	if w.unread > w.size {
		t.Fatalf("got %d unread bytes, want at most %d", w.unread, w.size)
	}
	if sum := w.send.left + granted + under + w.unread + w.recv.owed; sum != w.size {
		t.Fatalf("the sender has %d, %d granted, %d under way, %d unread, %d owed: got %d together, want %d",
			w.send.left, granted, under, w.unread, w.recv.owed, sum, w.size)
	}
}

// drain lets all arrive and be read, with no pause at the receiver: then the
// sender can always send a piece.
func (w *windows) drain(t *rapid.T) {
	for {
		for w.arrived < len(w.pieces) {
			w.arrive(t)
		}
		for w.arrived > 0 {
			w.consume(t)
		}
		for len(w.grants) > 0 {
			w.grant(t)
		}
		if len(w.messages) == 0 {
			return
		}
		n, ok := w.send.next(w.messages[0]-w.off, w.off == 0)
		if !ok {
			t.Fatalf("all has been read, %d bytes are left of a window of %d, and %d bytes can't be sent",
				w.send.left, w.size, w.messages[0]-w.off)
		}
		w.take(t, n, w.off == 0)
	}
}
