package server

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// FuzzRecognise checks that what a connection is does not depend on how its bytes come,
// and that none of them is lost.
func FuzzRecognise(f *testing.F) {
	head := native.BRPC.Append(nil, native.Head{Type: native.TypeRegister, Body: 5})
	for _, words := range []string{
		"", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", "PRI * HTTP/1.1\r\n\r\n", "\x16", "\x16\x03\x01", "\x16\x04\x01",
		tunnel.DirectPreface, "GET / HTTP/1.1\r\n\r\n", string(head), string(head[:47]), string(head) + "body!",
	} {
		f.Add([]byte(words), byte(1))
		f.Add([]byte(words), byte(7))
	}
	ms := []matcher{tlsMatcher{}, grpcMatcher{}, directProtocol{}, native.Protocol()}
	f.Fuzz(func(t *testing.T, words []byte, size byte) {
		want, m := match(ms, words)
		if len(words) == 0 {
			m = tunnel.MatchMore
		}
		ours, theirs := net.Pipe()
		go func() {
			for rest := words; len(rest) > 0; {
				n := min(int(size)+1, len(rest))
				if _, err := theirs.Write(rest[:n]); err != nil {
					break
				}
				rest = rest[n:]
			}
			theirs.Close()
		}()
		defer ours.Close()
		who, conn, err := recognise(ours, ms)
		switch {
		case m == tunnel.MatchYes && (err != nil || who != want):
			t.Fatalf("got %v, %v, want %v", who, err, want)
		case m != tunnel.MatchYes && err == nil:
			t.Fatalf("got %v, want an error", who)
		case err != nil:
			return
		}
		if all, err := io.ReadAll(conn); err != nil || !bytes.Equal(all, words) {
			t.Fatalf("got %q, %v, want %q", all, err, words)
		}
	})
}
