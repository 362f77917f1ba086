package netio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pushtunnel/pushtunnel/internal/bufpool"
)

// tcpPair returns the two ends of a TCP connection.
func tcpPair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// pairs are connections with a file descriptor and without.
func pairs(t *testing.T, f func(t *testing.T, a, b net.Conn)) {
	t.Run("tcp", func(t *testing.T) {
		a, b := tcpPair(t)
		f(t, a, b)
	})
	t.Run("pipe", func(t *testing.T) {
		a, b := net.Pipe()
		t.Cleanup(func() { a.Close(); b.Close() })
		f(t, a, b)
	})
}

func TestReaderGivesWhatCame(t *testing.T) {
	pairs(t, func(t *testing.T, a, b net.Conn) {
		want := bytes.Repeat([]byte("0123456789"), 20_000)
		go func() {
			for rest := want; len(rest) > 0; {
				n := min(len(rest), 7919)
				a.Write(rest[:n])
				rest = rest[n:]
			}
			a.Close()
		}()
		r := NewReader(b)
		var got []byte
		for size := 1; len(got) < len(want); size = size*3%5000 + 1 {
			n := min(size, len(want)-len(got))
			p, err := r.Peek(n)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p[:n]...)
			r.Discard(n)
		}
		if !bytes.Equal(got, want) {
			t.Error("other bytes came than were sent")
		}
		if _, err := r.Peek(1); err != io.EOF {
			t.Errorf("got %v at the end, want io.EOF", err)
		}
		if r.buf != nil {
			t.Error("a reader that has nothing holds a buffer")
		}
	})
}

func TestReaderTellsAPartFromAnEnd(t *testing.T) {
	pairs(t, func(t *testing.T, a, b net.Conn) {
		go func() {
			a.Write([]byte("abc"))
			a.Close()
		}()
		r := NewReader(b)
		p, err := r.Peek(4)
		if string(p) != "abc" || err != io.ErrUnexpectedEOF {
			t.Errorf("got %q, %v", p, err)
		}
	})
}

func TestReaderReadsBeyondItsBuffer(t *testing.T) {
	pairs(t, func(t *testing.T, a, b net.Conn) {
		want := bytes.Repeat([]byte("x"), 3*bufpool.Large)
		go a.Write(append([]byte("head"), want...))
		r := NewReader(b)
		if _, err := r.Peek(4); err != nil {
			t.Fatal(err)
		}
		r.Discard(4)
		got := make([]byte, len(want))
		if err := r.ReadFull(got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("other bytes, or %v", err)
		}
	})
}

func TestReaderHoldsNoBufferWhileItWaits(t *testing.T) {
	a, b := tcpPair(t)
	r := NewReader(b)
	if err := b.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
	if r.buf != nil {
		t.Error("it holds a buffer")
	}
	if err := b.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	a.Write([]byte("x"))
	if p, err := r.Peek(1); err != nil || string(p) != "x" {
		t.Errorf("got %q, %v after the deadline", p, err)
	}
}

func TestWriterSendsAllInOrder(t *testing.T) {
	pairs(t, func(t *testing.T, a, b net.Conn) {
		w := NewWriter(a, func(err error) { t.Errorf("broke: %v", err) })
		const senders, each = 8, 300
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for i := range each {
					// A frame: sender, number, size, and a body that shows tearing.
					size := (i * 37) % 200
					if i%100 == 99 {
						size = 2 * batch
					}
					f := append([]byte{byte(s), byte(i), byte(i >> 8), byte(size), byte(size >> 8), byte(size >> 16)}, bytes.Repeat([]byte{byte(i)}, size)...)
					if err := w.Send(f, i%2 == 0); err != nil {
						t.Error(err)
					}
				}
			})
		}
		var next [senders]int
		r := NewReader(b)
		for range senders * each {
			h, err := r.Peek(6)
			if err != nil {
				t.Fatal(err)
			}
			s, i, size := int(h[0]), int(h[1])|int(h[2])<<8, int(h[3])|int(h[4])<<8|int(h[5])<<16
			r.Discard(6)
			if i != next[s] {
				t.Fatalf("frame %d of sender %d came, want %d", i, s, next[s])
			}
			next[s]++
			body := make([]byte, size)
			if err := r.ReadFull(body); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(body, bytes.Repeat([]byte{byte(i)}, size)) {
				t.Fatal("a frame is torn")
			}
		}
		wg.Wait()
		w.Drain(t.Context())
		if w.size != 0 || w.writing {
			t.Errorf("%d bytes wait, writing: %v", w.size, w.writing)
		}
	})
}

// A peer that does not read holds up nobody that sends, and Wait ends with its
// context.
func TestWriterNeverWaitsForThePeer(t *testing.T) {
	pairs(t, func(t *testing.T, a, b net.Conn) {
		broke := make(chan error, 1)
		w := NewWriter(a, func(err error) { broke <- err })
		frame := make([]byte, 1<<20)
		const frames = 32 // more than the kernel takes
		for range frames {
			if err := w.Send(frame, false); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		w.Drain(ctx)
		if ctx.Err() == nil {
			t.Fatal("drained into a peer that does not read")
		}
		waited := make(chan struct{})
		go func() {
			w.Wait(t.Context(), 1)
			close(waited)
		}()
		if n, err := io.CopyN(io.Discard, b, frames<<20); err != nil || n != frames<<20 {
			t.Fatal(n, err)
		}
		<-waited
		b.Close()
		for {
			if err := w.Send(frame, false); err != nil {
				break
			}
			w.Drain(t.Context())
		}
		<-broke
	})
}

func TestWriterClosesOnce(t *testing.T) {
	a, _ := tcpPair(t)
	w := NewWriter(a, func(error) { t.Error("broke") })
	if err := w.Send([]byte("x"), false); err != nil {
		t.Fatal(err)
	}
	why := errors.New("why")
	if !w.Close(why) || w.Close(errors.New("again")) {
		t.Error("the first Close is the one that counts")
	}
	if err := w.Send([]byte("x"), false); err != why {
		t.Errorf("got %v, want %v", err, why)
	}
	w.Wait(t.Context(), 0)
	w.Drain(t.Context())
}

// A connection that ends before it has said anything is an ordinary event, which
// gRPC knows by io.EOF. What was read is not lost.
func TestFirst(t *testing.T) {
	pairs(t, func(t *testing.T, a, b net.Conn) {
		go a.Write([]byte("xyz")) //nolint:errcheck // seen below
		two := make([]byte, 2)
		n, conn, err := First(b, two)
		if string(two[:n]) != "xy" || err != nil {
			t.Fatalf("got %q, %v, want %q", two[:n], err, "xy")
		}
		got := make([]byte, 3)
		if _, err := io.ReadFull(conn, got); string(got) != "xyz" || err != nil {
			t.Errorf("got %q, %v, want all that was sent", got, err)
		}
		a.Close()
		if _, _, err := First(b, two); err != io.EOF {
			t.Errorf("at the end: got %v, want %v", err, io.EOF)
		}
	})
}

// A Read may return nothing and no error: that is no byte.
func TestFirstOfAReadWithoutBytes(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	go func() {
		a.Write(nil)         //nolint:errcheck // seen below
		a.Write([]byte("x")) //nolint:errcheck // seen below
		a.Close()
	}()
	first := make([]byte, 64)
	n, conn, err := First(b, first)
	if string(first[:n]) != "x" || err != nil {
		t.Fatalf("got %q, %v, want %q", first[:n], err, "x")
	}
	if all, err := io.ReadAll(conn); string(all) != "x" || err != nil {
		t.Errorf("got %q, %v, want %q", all, err, "x")
	}
}
