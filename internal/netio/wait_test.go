package netio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
)

// What Wait has read is not lost, holds no buffer, and is followed by the rest.
func TestReaderWaits(t *testing.T) {
	a, b := tcpPair(t)
	r := NewReader(b)
	want := bytes.Repeat([]byte("0123456789"), 10)
	waited := make(chan bool)
	go func() { waited <- r.Wait() }()
	a.Write(want)
	if !<-waited || r.buf != nil {
		t.Errorf("did not wait, or holds a buffer: %v", r.buf != nil)
	}
	r.Wait() // returns at once
	got, err := r.Peek(len(want))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	r.Wait() // likewise
	r.Discard(len(want))
	a.Close()
	for range 2 {
		if r.Wait(); !errors.Is(r.Await(), io.EOF) {
			t.Errorf("got %v after the end, want io.EOF", r.Await())
		}
	}
	if p, err := r.Peek(1); err != io.EOF || len(p) > 0 {
		t.Errorf("got %q, %v after the end, want io.EOF", p, err)
	}
}

// The reason why a connection has ended is Await's to tell.
func TestReaderWaitsForAConnectionThatFails(t *testing.T) {
	_, b := tcpPair(t)
	r := NewReader(b)
	b.Close()
	if !r.Wait() {
		t.Error("did not wait")
	}
	if err := r.Await(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want that the connection is closed", err)
	}
}

func TestReaderThatCannotWait(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if NewReader(b).Wait() {
		t.Error("waited without a file descriptor")
	}
}
