package tunnel

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// fuzzMetadata is how many bytes of metadata the accepting end takes.
const fuzzMetadata = 1000

// FuzzDirect plays a peer that says anything to the accepting end of the direct
// transport. What comes of it must not depend on how the bytes come; it ends with the
// connection, in time; and memory is within bounds all the while.
func FuzzDirect(f *testing.F) {
	open := opening("clientname", "c1", "a-bin", "\x00\xff")
	hello := encodedBatch(&pb.Frame{Hello: peerHello()})
	f.Add([]byte{}, uint16(1))
	f.Add(slices.Concat(open, hello), uint16(1))
	f.Add(slices.Concat(open, hello, encodedBatch(&pb.Frame{Ping: 1}, &pb.Frame{CallId: 1, Message: filled(40_000)})), uint16(1000))
	f.Add(slices.Concat(open, hello, encodedBatch(&pb.Frame{Close: &pb.Status{Code: 3}})), uint16(3))
	f.Add(slices.Concat(open, hello, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), uint16(5))
	f.Add(slices.Concat(open, protowire.AppendVarint([]byte{frameTag}, 1<<63)), uint16(2))
	f.Add(slices.Concat(open, []byte{frameTag, 0x82, 0x80, 0x80, 0x80, 0x00, 0x70, 0x01}), uint16(4))
	f.Add([]byte(DirectPreface+"\x0a\x00"), uint16(1))
	f.Add([]byte(DirectPreface+strings.Repeat("\x0a\x00", 100)), uint16(7))
	f.Add(opening("a", strings.Repeat("x", fuzzMetadata)), uint16(100))
	f.Add([]byte("\x16\x03\x01\x02\x00"), uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, size uint16) {
		synctest.Test(t, func(t *testing.T) {
			whole := playDirect(t, data, len(data)+1)
			pieces := playDirect(t, data, int(size)%2000+1)
			if !whole.equal(pieces) {
				t.Fatalf("at once: %v\nin pieces of %d: %v", whole, int(size)%2000+1, pieces)
			}
			if !whole.accepted && whole.answer != "" {
				t.Fatalf("got the answer %q to what is refused, want none", whole.answer)
			}
		})
	})
}

// directRun is what came of the bytes.
type directRun struct {
	accepted  bool
	notDirect bool
	pairs     int
	frames    []byte
	malformed bool
	answer    string
}

func (r directRun) equal(o directRun) bool {
	return r.accepted == o.accepted && r.notDirect == o.notDirect && r.pairs == o.pairs &&
		bytes.Equal(r.frames, o.frames) && r.malformed == o.malformed && r.answer == o.answer
}

// playDirect lets data come in pieces of this size, and then the end.
func playDirect(t *testing.T, data []byte, size int) (r directRun) {
	client, conn := connPair(t, 0)
	answer := start(t, func() error {
		b, err := io.ReadAll(client)
		r.answer = string(b)
		return err
	})
	speech := start(t, func() error {
		for b := range slices.Chunk(data, size) {
			if _, err := client.Write(b); err != nil {
				return nil //nolint:nilerr // it was refused
			}
			time.Sleep(time.Microsecond) // of the bubble: the other end reads
		}
		return client.Close()
	})
	transport, md, err := AcceptDirect(conn, fuzzMetadata, nil)
	r.accepted, r.notDirect, r.pairs = err == nil, errors.Is(err, ErrNotDirect), metadataCost(md)
	if n := metadataCost(md); n > fuzzMetadata {
		t.Fatalf("got metadata that count for %d bytes, want at most %d", n, fuzzMetadata)
	}
	for err == nil {
		if n := len(transport.(*direct).in.Buffered()); n > 2*maxFrame {
			t.Fatalf("got %d bytes buffered, want at most %d", n, 2*maxFrame)
		}
		batch, e := transport.Recv()
		if err = e; err != nil {
			break
		}
		b := batch.ReadOnlyData()
		switch n, _, _ := wholeFrames(b); {
		case r.malformed: // nobody looks at what follows
		case n == len(b) && n <= wire.MaxBatch:
			r.frames = append(r.frames, b...)
		case bytes.Equal(b, notFrames):
			r.malformed = true
			transport.Close(protocolError(errMalformed))
		default:
			t.Fatalf("got a batch of %d bytes, of which %d are whole frames", len(b), n)
		}
		batch.Free()
	}
	client.Close()
	<-speech.done
	<-answer.done
	if r.malformed {
		r.answer = "" // it may be cut off
	}
	return r
}
