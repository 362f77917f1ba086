package server

import (
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// A connection of the operating system is handed over when its deadlines have been
// reset, and not before.
func TestHandOverWaitsForTheReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 100 {
		theirs, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		h := letGo(raw, raw)
		if h.raw == nil {
			t.Fatal("got a connection that is not asked for its deadlines")
		}
		var reset atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := h.finish(t.Context())
			if !reset.Load() || conn != raw || err != nil {
				t.Errorf("got %v, %v; reset: %v", conn, err, reset.Load())
			}
		}()
		if !timedOut(raw.Write(nil)) {
			t.Error("got a connection that can be written to, want one that waits")
		}
		reset.Store(true)
		raw.SetDeadline(time.Time{}) //nolint:errcheck // it is open
		<-done
		if _, err := raw.Write([]byte("x")); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		raw.Close()
		theirs.Close()
	}
}
