package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pushtunnel/pushtunnel/internal/faultnet"
	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// connPair returns the two ends of a connection in memory. It takes as many bytes
// as buffer before a write blocks; 0 means plenty.
func connPair(t testing.TB, buffer int) (dialled, accepted *faultnet.Conn) {
	t.Helper()
	n := faultnet.New(faultnet.Config{Buffer: buffer})
	l := n.Listener()
	dialled, err := n.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Cut)
	return dialled, conn.(*faultnet.Conn)
}

// opening is what a client of this name sends first.
func opening(pairs ...string) []byte {
	return wire.AppendSessionFrame([]byte(DirectPreface), wire.AppendHeader(nil, metadata.Pairs(pairs...)))
}

// deliveries are the ways in which bytes may come.
var deliveries = map[string]func(net.Conn, []byte){
	"at once": func(conn net.Conn, b []byte) { conn.Write(b) }, //nolint:errcheck // the test sees what comes of it
	"byte by byte": func(conn net.Conn, b []byte) {
		for i := range b {
			conn.Write(b[i : i+1]) //nolint:errcheck // likewise
			synctest.Wait()
		}
	},
}

// acceptance is an AcceptDirect under way.
type acceptance struct {
	*async
	transport Transport
	md        metadata.MD
}

func acceptDirect(t *testing.T, conn net.Conn, maxMetadata int) *acceptance {
	a := &acceptance{}
	a.async = start(t, func() (err error) {
		a.transport, a.md, err = AcceptDirect(conn, maxMetadata, nil)
		return err
	})
	return a
}

func TestAcceptDirect(t *testing.T) {
	hello := encodedBatch(&pb.Frame{Hello: peerHello()})
	for how, deliver := range deliveries {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				client, conn := connPair(t, 0)
				a := acceptDirect(t, conn, 1000)
				deliver(client, append(opening("clientname", "c1", "a-bin", "\x00\xff", "a", "1", "a", "2"), hello...))
				if err := a.wait("the opening"); err != nil {
					t.Fatal(err)
				}
				want := metadata.Pairs("clientname", "c1", "a-bin", "\x00\xff", "a", "1", "a", "2")
				if len(a.md) != len(want) || !slices.Equal(a.md["a"], want["a"]) || a.md.Get("a-bin")[0] != "\x00\xff" {
					t.Errorf("got the metadata %q, want %q", a.md, want)
				}
				// The answer does not wait for a hello, or for what decides about the
				// client.
				got := make([]byte, len(DirectPreface))
				if _, err := io.ReadFull(client, got); err != nil || string(got) != DirectPreface {
					t.Errorf("got an answer of %q, %v, want the preface", got, err)
				}
				batch, err := a.transport.Recv()
				if err != nil || !bytes.Equal(batch.ReadOnlyData(), hello) {
					t.Errorf("got a batch of %x, %v, want %x", batch, err, hello)
				}
				p, _ := a.transport.(interface{ Peer() (*peer.Peer, bool) }).Peer()
				if p.Addr != conn.RemoteAddr() || p.LocalAddr != conn.LocalAddr() {
					t.Errorf("got the peer %v, want that of the connection", p)
				}
			})
		})
	}
}

// The limit of metadata is the same as everywhere: what a pair counts for.
func TestTheLimitOfTheOpening(t *testing.T) {
	for _, test := range []struct {
		size int
		ok   bool
	}{{1000 - wire.PairOverhead - 1, true}, {1000 - wire.PairOverhead, false}} {
		bubble(t, func(t *testing.T) {
			client, conn := connPair(t, 0)
			a := acceptDirect(t, conn, 1000)
			client.Write(opening("aa", strings.Repeat("x", test.size-1))) //nolint:errcheck // seen below
			if err := a.wait("the opening"); (err == nil) != test.ok {
				t.Errorf("with a value of %d bytes: got %v, want success: %v", test.size-1, err, test.ok)
			}
		})
	}
}

// What is not an opening is refused as soon as that is certain, without an answer:
// a client sees that it should try something else.
func TestAcceptDirectRefuses(t *testing.T) {
	frame := func(parts []byte) string {
		return DirectPreface + string(wire.AppendSessionFrame(nil, parts))
	}
	huge := protowire.AppendVarint([]byte{frameTag}, 1<<63)
	for why, test := range map[string]struct {
		sent string
		want error // nil: any
	}{
		"HTTP/2":                        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ErrNotDirect},
		"TLS":                           {"\x16\x03\x01\x02\x00\x01", ErrNotDirect},
		"another version":               {"\xd1push2\r\n", ErrNotDirect},
		"a preface changed on its way":  {"\xd1push1\n\n", ErrNotDirect},
		"no frame":                      {DirectPreface + "\x12", errMalformed},
		"text":                          {DirectPreface + "GET / HTTP/1.1\r\n", errMalformed},
		"a frame of 2^63 bytes":         {DirectPreface + string(huge), errMalformed},
		"a length without an end":       {DirectPreface + "\x0a" + strings.Repeat("\xff", 10), errMalformed},
		"a frame above any limit":       {DirectPreface + string(protowire.AppendVarint([]byte{frameTag}, maxFrame)), errMalformed},
		"more metadata than it may":     {string(opening("a", strings.Repeat("x", 1000))), nil},
		"a frame that goes on and on":   {DirectPreface + string(protowire.AppendVarint([]byte{frameTag}, maxFrame/2)) + strings.Repeat("x", 40_000), nil},
		"many pairs":                    {string(opening(slices.Repeat([]string{"a", ""}, 40)...)), nil},
		"a hello":                       {frame(wire.AppendHello(nil, nil)), errOpening},
		"metadata and a hello":          {frame(wire.AppendHello(wire.AppendHeader(nil, metadata.Pairs("a", "b")), nil)), errOpening},
		"metadata of a call":            {DirectPreface + string(encodedBatch(&pb.Frame{CallId: 1, Header: &pb.Metadata{}})), errOpening},
		"bytes that are not protobuf":   {frame([]byte{0xff}), nil},
		"metadata twice":                {frame(append(wire.AppendHeader(nil, metadata.Pairs("a", "b")), wire.AppendHeader(nil, metadata.Pairs("a", "b"))...)), nil},
		"a key with capital letters":    {frame(wire.AppendHeader(nil, metadata.MD{"A": {"b"}})), nil},
		"a value of control characters": {frame(wire.AppendHeader(nil, metadata.MD{"a": {"\x00"}})), nil},
	} {
		for how, deliver := range deliveries {
			t.Run(why+", "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					client, conn := connPair(t, 0)
					a := acceptDirect(t, conn, 1000)
					deliver(client, []byte(test.sent))
					err := a.wait("what is no opening")
					if err == nil || test.want != nil && !errors.Is(err, test.want) {
						t.Errorf("got %v, want the error %v", err, test.want)
					}
					if answer, err := io.ReadAll(client); len(answer) > 0 || errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got the answer %q, %v, want a connection that is closed without one", answer, err)
					}
				})
			})
		}
	}
}

// A connection that ends too early tells nothing about the other end.
func TestAnOpeningThatIsCutOff(t *testing.T) {
	whole := opening("clientname", "c1")
	for n := range len(whole) {
		bubble(t, func(t *testing.T) {
			client, conn := connPair(t, 0)
			a := acceptDirect(t, conn, 1000)
			client.Write(whole[:n]) //nolint:errcheck // seen below
			client.Close()
			if err := a.wait("a cut off opening"); err == nil || errors.Is(err, ErrNotDirect) {
				t.Errorf("after %d bytes: got %v, want an error other than ErrNotDirect", n, err)
			}
		})
	}
}

// Nobody but who set a deadline knows what it is for.
func TestAcceptDirectEndsWithItsConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, conn := connPair(t, 0)
		a := acceptDirect(t, conn, 1000)
		client.Write([]byte(DirectPreface[:3])) //nolint:errcheck // it stays open
		if !a.running() {
			t.Fatalf("got %v, want it to wait for the rest", a.err)
		}
		conn.Close()
		if err := a.wait("a closed connection"); err == nil {
			t.Error("got no error, want one")
		}
	})
}

// directSessions returns the two ends of a session over the direct transport.
func directSessions(t *testing.T, client, conn net.Conn, accept, dial Config) (s, c *Session) {
	t.Helper()
	dialling := start(t, func() error {
		transport, err := DialDirect(t.Context(), client, DirectOptions{Name: "c1"})
		if err == nil {
			c, err = Dial(t.Context(), transport, dial)
		}
		return err
	})
	transport, _, err := AcceptDirect(conn, 1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	accept.Remote.Session = "direct"
	if s, err = Accept(t.Context(), transport, accept); err != nil {
		t.Fatal(err)
	}
	s.Welcome()
	<-dialling.done
	if dialling.err != nil {
		t.Fatal(dialling.err)
	}
	t.Cleanup(func() {
		s.Close(nil)
		c.Close(nil)
		s.Wait()
		c.Wait()
	})
	return s, c
}

// A client's session fails, and says whether the server is to blame for it.
func TestAServerThatIsNotDirect(t *testing.T) {
	for why, test := range map[string]struct {
		answer string
		leave  bool
		known  bool // the peer has shown that it is none
	}{
		"HTTP/2 settings":      {answer: "\x00\x00\x06\x04\x00\x00\x00\x00\x00", known: true},
		"an answer of HTTP/1":  {answer: "HTTP/1.1 400 Bad Request\r\n\r\n", known: true},
		"an alert of TLS":      {answer: "\x15\x03\x01\x00\x02\x02\x46", known: true},
		"half a preface, more": {answer: DirectPreface[:4] + "x", known: true},
		"nothing":              {leave: true},
		"half a preface":       {answer: DirectPreface[:4], leave: true},
	} {
		t.Run(why, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				client, conn := connPair(t, 0)
				transport, err := DialDirect(t.Context(), client, DirectOptions{Name: "c1"})
				if err != nil {
					t.Fatal(err)
				}
				dial := start(t, func() error {
					_, err := Dial(t.Context(), transport, Config{})
					return err
				})
				conn.Write([]byte(test.answer)) //nolint:errcheck // seen below
				if test.leave {
					conn.Close()
				}
				err = dial.wait("the session")
				if errors.Is(err, ErrNotDirect) != test.known || status.Code(err) != codes.Unavailable {
					t.Errorf("got %v, want Unavailable; ErrNotDirect: %v", err, test.known)
				}
				if transport.(interface{ Confirmed() bool }).Confirmed() {
					t.Error("got a confirmed transport, want one that is not")
				}
				synctest.Wait()
				if _, err := conn.Write([]byte("x")); err == nil {
					t.Error("got a connection that is open, want it closed")
				}
			})
		})
	}
}

// secret is per-RPC credentials for encrypted connections.
type secret struct{ uri *string }

func (s secret) GetRequestMetadata(_ context.Context, uri ...string) (map[string]string, error) {
	*s.uri = uri[0]
	return map[string]string{"authorization": "secret"}, nil
}

func (secret) RequireTransportSecurity() bool { return true }

func TestDialDirectSendsCredentialsOnlyWhereTheyMayGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var uri string
		opts := DirectOptions{Name: "c1", Authority: "push.example.com", CallOptions: []grpc.CallOption{grpc.PerRPCCredentials(secret{&uri})}}
		client, conn := connPair(t, 0)
		_, err := DialDirect(t.Context(), client, opts)
		if status.Code(err) != codes.Unauthenticated || uri != "" {
			t.Errorf("in plaintext: got %v and a request for %q, want Unauthenticated and none", err, uri)
		}
		if sent, _ := io.ReadAll(conn); len(sent) > 0 {
			t.Errorf("in plaintext: got %q, want nothing", sent)
		}

		client, conn = connPair(t, 0)
		secure := credentials.TLSInfo{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
		opts.Peer = &peer.Peer{Addr: client.RemoteAddr(), AuthInfo: secure}
		a := acceptDirect(t, conn, 1000)
		transport, err := DialDirect(t.Context(), client, opts)
		if err != nil {
			t.Fatal(err)
		}
		transport.Close(nil) // sends the opening, too
		if err := a.wait("the opening"); err != nil {
			t.Fatal(err)
		}
		if got := a.md.Get("authorization"); !slices.Equal(got, []string{"secret"}) {
			t.Errorf("encrypted: got %q, want the secret", got)
		}
		if want := "https://push.example.com/pushtunnel.v1.PushTunnel"; uri != want {
			t.Errorf("encrypted: got a request for %q, want %q", uri, want)
		}
		a.transport.Close(nil)
		for _, end := range []Transport{transport, a.transport} {
			if _, err := recvFrames(end); err != io.EOF {
				t.Errorf("got %v, want %v", err, io.EOF)
			}
		}
	})
}

// Metadata are sent as on a gRPC stream.
func TestDialDirectSendsMetadata(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, conn := connPair(t, 0)
		a := acceptDirect(t, conn, 1000)
		ctx := metadata.AppendToOutgoingContext(t.Context(), "From-Context", "1", "te", "trailers")
		md := metadata.MD{"Capital": {"2"}, "clientname": {"an impostor"}, "grpc-timeout": {"1S"}}
		transport, err := DialDirect(ctx, client, DirectOptions{Name: "c1", Metadata: md})
		if err != nil {
			t.Fatal(err)
		}
		if !a.running() {
			t.Error("got an opening, want none before the session's hello")
		}
		transport.Close(nil)
		if err := a.wait("the opening"); err != nil {
			t.Fatal(err)
		}
		a.transport.Close(nil)
		for key, want := range map[string][]string{
			"from-context": {"1"}, "capital": {"2"}, "clientname": {"c1"}, "te": nil, "grpc-timeout": nil,
		} {
			if got := a.md.Get(key); !slices.Equal(got, want) {
				t.Errorf("metadata %q: got %q, want %q", key, got, want)
			}
		}
		if md["clientname"][0] != "an impostor" || len(md) != 3 {
			t.Errorf("got changed metadata of the user's: %q", md)
		}
		recvFrames(a.transport) //nolint:errcheck // to the end
		recvFrames(transport)   //nolint:errcheck // to the end

		client, _ = connPair(t, 0)
		_, err = DialDirect(t.Context(), client, DirectOptions{Name: "c1", Metadata: metadata.Pairs("a", "\x00")})
		if status.Code(err) != codes.Internal {
			t.Errorf("with a bad value: got %v, want Internal", err)
		}
		if _, err := client.Write([]byte("x")); err == nil {
			t.Error("got a connection that is open, want it closed")
		}
	})
}

// recvFrames receives until the end, and returns the bytes of all frames.
func recvFrames(t Transport) (all []byte, err error) {
	for {
		batch, err := t.Recv()
		if err != nil {
			return all, err
		}
		all = append(all, batch.ReadOnlyData()...)
		batch.Free()
	}
}

// Batches are whole, and no larger than a batch may be, however the bytes come.
func TestBatchesAreWholeFrames(t *testing.T) {
	// A frame of an unknown kind, of n bytes in all.
	frame := func(n int) []byte {
		for size := n; ; size-- {
			if b := wire.AppendSessionFrame(nil, protowire.AppendBytes([]byte{15<<3 | 2}, make([]byte, size))); len(b) <= n {
				return b
			}
		}
	}
	stream := slices.Concat(frame(100), frame(600<<10), frame(600<<10), frame(30), frame(wire.MaxBatch-64), frame(20))
	for how, piece := range map[string]int{"at once": len(stream), "in pieces": 1000, "in large pieces": 100_000} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				client, conn := connPair(t, 0)
				transport := newDirect(conn, nil)
				transport.confirmed.Store(true)
				go func() {
					for b := range slices.Chunk(stream, piece) {
						client.Write(b) //nolint:errcheck // seen below
					}
					client.Close()
				}()
				var got []byte
				for {
					batch, err := transport.Recv()
					if err != nil {
						if status.Code(err) != codes.Unavailable {
							t.Errorf("at the end: got %v, want Unavailable", err)
						}
						break
					}
					b := batch.ReadOnlyData()
					if n, _, bad := wholeFrames(b); n != len(b) || bad {
						t.Fatalf("got a batch of %d bytes, of which %d are whole frames", len(b), n)
					}
					got = append(got, b...)
					batch.Free()
				}
				if !bytes.Equal(got, stream) {
					t.Errorf("got %d bytes, want the %d that were sent", len(got), len(stream))
				}
			})
		})
	}
}

// A length may be longer than it needs to be, as in any protobuf: also if its last
// byte comes late.
func TestALengthThatIsLongerThanItNeedsToBe(t *testing.T) {
	frame := append([]byte{frameTag, 0x82, 0x80, 0x80, 0x80, 0x00}, wire.AppendPing(nil, 1)...)
	for n := range len(frame) {
		if k, malformed := wholeFrame(frame[:n]); k != 0 || malformed {
			t.Errorf("of %d bytes: got %d, malformed: %v, want to wait for more", n, k, malformed)
		}
	}
	if k, malformed := wholeFrame(frame); k != len(frame) || malformed {
		t.Errorf("got %d, malformed: %v, want all %d", k, malformed, len(frame))
	}
}

// What is no frame ends the session, and the peer is told.
func TestBytesThatAreNoFrames(t *testing.T) {
	for why, sent := range map[string][]byte{
		"another field":           {0x10, 0x01},
		"HTTP/2":                  []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		"a frame of 2^63 bytes":   protowire.AppendVarint([]byte{frameTag}, 1<<63),
		"a frame above the limit": protowire.AppendVarint([]byte{frameTag}, maxFrame),
		"a length without an end": append([]byte{frameTag}, bytes.Repeat([]byte{0x80}, 10)...),
	} {
		for how, deliver := range deliveries {
			t.Run(why+", "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					client, conn := connPair(t, 0)
					a := acceptDirect(t, conn, 1000)
					client.Write(append(opening("clientname", "c1"), encodedBatch(&pb.Frame{Hello: peerHello()})...)) //nolint:errcheck // seen below
					if err := a.wait("the opening"); err != nil {
						t.Fatal(err)
					}
					s, err := Accept(t.Context(), a.transport, Config{Remote: Peer{Session: "x"}})
					if err != nil {
						t.Fatal(err)
					}
					s.Welcome()
					deliver(client, sent)
					synctest.Wait()
					if err := s.Err(); status.Code(err) != codes.Internal {
						t.Fatalf("got a session that ended with %v, want Internal", err)
					}
					told, _ := io.ReadAll(client)
					batch := told[len(DirectPreface):]
					for n := 0; len(batch) > 0; batch = batch[n:] {
						var k int
						if n, k, _ = wholeFrames(batch); isClose(batch[k:n]) {
							return
						}
					}
					t.Errorf("got %x, want a close frame at the end", told)
				})
			})
		}
	}
}

// A connection that is cut in the middle of a frame is lost: what waits fails with
// an unknown outcome, and nobody takes half of a frame for a whole one.
func TestAConnectionCutWithinAFrame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, conn := connPair(t, 0)
		s, c := directSessions(t, client, conn, Config{Remote: Peer{Name: "c1"}}, Config{Services: testService{
			unary: func(ctx context.Context, _ string) (string, error) {
				answer := encodedBatch(&pb.Frame{CallId: 1, End: &pb.End{Trailer: &pb.Metadata{Pairs: pairs("a", "b")}}})
				client.Write(answer[:len(answer)-1]) //nolint:errcheck // in the place of the session
				client.Close()
				<-ctx.Done()
				return "", ctx.Err()
			},
		}.services()})
		call := start(t, func() error { return s.Invoke(t.Context(), unaryMethod, text("x"), &wrapperspb.BytesValue{}) })
		call.wantErr("the call", codes.Unavailable, OutcomeUnknown, "cut off")
		<-c.Done()
	})
}

// A peer that never reads holds up nobody: calls end at their deadlines, what comes
// from it is read, and the end of the session waits for it only so long. The bubble
// sees to it that nothing is left.
func TestADirectPeerThatNeverReads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, conn := connPair(t, 64<<10)
		a := acceptDirect(t, conn, 1000)
		client.Write(append(opening("clientname", "c1"), encodedBatch(&pb.Frame{Hello: changedHello(func(h *pb.Hello) { h.CallWindow = 1 << 30 })})...)) //nolint:errcheck // seen below
		if err := a.wait("the opening"); err != nil {
			t.Fatal(err)
		}
		s, err := Accept(t.Context(), a.transport, Config{Heartbeat: -1, Remote: Peer{Session: "x"}})
		if err != nil {
			t.Fatal(err)
		}
		s.Welcome()
		began := time.Now()
		var calls []*async
		for range 10 {
			calls = append(calls, start(t, func() error {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				return s.Invoke(ctx, unaryMethod, text(strings.Repeat("x", 100_000)), &wrapperspb.BytesValue{})
			}))
		}
		for _, call := range calls {
			<-call.done
			if status.Code(call.err) != codes.DeadlineExceeded {
				t.Errorf("got %v, want DeadlineExceeded", call.err)
			}
		}
		if got := time.Since(began); got != time.Second {
			t.Errorf("got the ends of the calls after %v, want them after 1s", got)
		}
		client.Write(encodedBatch(&pb.Frame{GoAway: &pb.GoAway{Reason: "read this"}})) //nolint:errcheck // seen below
		synctest.Wait()
		if s.live.now()-time.Duration(s.live.last.Load()) != 0 {
			t.Error("got a session that does not read, want one that does")
		}
		ended := time.Now()
		s.Close(status.Error(codes.Aborted, "enough"))
		if got := time.Since(ended); got != 0 {
			t.Errorf("got a Close that took %v, want it at once", got)
		}
		s.Wait()
		if got := time.Since(ended); got > partingTime {
			t.Errorf("got an end after %v, want it within %v", got, partingTime)
		}
	})
}

// changedHello is a peer's hello, changed.
func changedHello(change func(*pb.Hello)) *pb.Hello {
	h := peerHello()
	change(h)
	return h
}

// noHalf is a connection whose half can't be closed, with deadlines that somebody
// else resets.
type noHalf struct{ net.Conn }

// The end of a session: both learn why, at once, and the connection is closed,
// whichever end it was and whatever it can do.
func TestDirectSessionsEnd(t *testing.T) {
	for _, reason := range []error{nil, status.Error(codes.Aborted, "enough")} {
		for _, by := range []string{"the server", "the client"} {
			bubble(t, func(t *testing.T) {
				client, conn := connPair(t, 0)
				s, c := directSessions(t, noHalf{client}, noHalf{conn}, Config{}, Config{})
				first, other := s, c
				if by == "the client" {
					first, other = c, s
				}
				began := time.Now()
				first.Close(reason)
				<-other.Done()
				first.Wait()
				other.Wait()
				if status.Code(other.Err()) != status.Code(reason) {
					t.Errorf("closed by %s with %v: the other got %v", by, reason, other.Err())
				}
				if got := time.Since(began); got != 0 {
					t.Errorf("closed by %s with %v: got an end after %v, want it at once", by, reason, got)
				}
				for _, conn := range []net.Conn{client, conn} {
					if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
						t.Errorf("closed by %s with %v: got %v, want a closed connection", by, reason, err)
					}
				}
			})
		}
	}
}

// A peer that does not end its half is cut off, though somebody resets the
// connection's deadlines at the worst moment: grpc-go does once.
func TestAPeerThatDoesNotPartIsCutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, conn := connPair(t, 0)
		a := acceptDirect(t, conn, 1000)
		client.Write(opening("clientname", "c1")) //nolint:errcheck // seen below
		if err := a.wait("the opening"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		a.transport.Close(status.Error(codes.PermissionDenied, "no"))
		conn.SetDeadline(time.Time{}) //nolint:errcheck // it is open
		if _, err := recvFrames(a.transport); err != io.EOF {
			t.Errorf("got %v, want %v", err, io.EOF)
		}
		if got := time.Since(began); got != partingTime {
			t.Errorf("got an end after %v, want it after %v", got, partingTime)
		}
	})
}

// Close and the end of the connection may come at the same time.
func TestCloseAndTheEndAtTheSameTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for range 200 {
			client, conn := connPair(t, 0)
			transport := newDirect(noHalf{conn}, nil)
			transport.confirmed.Store(true)
			received := start(t, func() error {
				_, err := transport.Recv()
				return err
			})
			closed := start(t, func() error {
				transport.Close(nil)
				return nil
			})
			client.Close()
			<-closed.done
			<-received.done
			if received.err != io.EOF && status.Code(received.err) != codes.Unavailable {
				t.Fatalf("got %v, want the end", received.err)
			}
		}
	})
}
