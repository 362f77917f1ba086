package tunnel

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// changeHello returns a hello that is wrong in one way.
func changeHello(change func(*pb.Hello)) []byte {
	h := peerHello()
	change(h)
	return encodedBatch(&pb.Frame{Hello: h})
}

func encodedBatch(frames ...*pb.Frame) []byte {
	b, err := proto.Marshal(&pb.Batch{Frames: frames})
	if err != nil {
		panic(err)
	}
	return b
}

// frameBytes is a batch of one frame with these bytes.
func frameBytes(b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), b)
}

func field(num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), v)
}

func varint(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

// badHellos are first batches that end a session, whoever sends them.
var badHellos = []struct {
	name  string
	batch []byte
	code  codes.Code
	text  string
}{
	{"a ping", encodedBatch(&pb.Frame{Ping: 1}), codes.Internal, "the first frame is not a hello"},
	{"a call", encodedBatch(request(1, "x")), codes.Internal, "the first frame is not a hello"},
	{"a frame of an unknown kind", frameBytes(varint(30, 1)), codes.Internal, "the first frame is not a hello"},
	{"a hello of version 0", changeHello(func(h *pb.Hello) { h.Version = 0 }), codes.FailedPrecondition, "speaks version 0 of the protocol, this end needs 1"},
	{"a small window", changeHello(func(h *pb.Hello) { h.CallWindow = wire.MinCallWindow - 1 }), codes.Internal, "call window below the protocol's least"},
	{"no window", changeHello(func(h *pb.Hello) { h.CallWindow = 0 }), codes.Internal, "call window below the protocol's least"},
	{"a malformed hello", frameBytes(field(12, []byte{1<<3 | 2, 5})), codes.Internal, "hello"},
	{"a hello for a call", frameBytes(append(varint(1, 1), field(12, nil)...)), codes.Internal, "a session's part with a call id"},
	{"no frame at all", []byte("this is no protobuf"), codes.Internal, "malformed protobuf"},
	{"a close", encodedBatch(&pb.Frame{Close: &pb.Status{Code: uint32(codes.AlreadyExists), Message: []byte("taken")}}), codes.AlreadyExists, "taken"},
}

func TestBadHellos(t *testing.T) {
	for _, test := range badHellos {
		for role, begin := range map[string]func(*scriptedPeer) *async{
			"accepting": func(p *scriptedPeer) *async { return p.accepting(Config{}) },
			"dialling": func(p *scriptedPeer) *async {
				dial := p.dial(Config{})
				p.skipHello()
				return dial
			},
		} {
			t.Run(role+" "+test.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := newPeer(t)
					session := begin(p)
					p.sendBytes(test.batch)
					session.wantErr("the handshake", test.code, OutcomeAnswered, test.text)
					if test.name != "a close" {
						p.wantCloseFrame(test.code, test.text)
					}
				})
			})
		}
	}
}

func TestServerHelloNeedsASessionID(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPeer(t)
		dial := p.dial(Config{})
		p.skipHello()
		p.send(p.hello(func(h *pb.Hello) { h.SessionId = "" }))
		dial.wantErr("dialling", codes.Internal, OutcomeAnswered, "without a session id")
		p.wantCloseFrame(codes.Internal, "without a session id")
	})
}

func TestSecondHello(t *testing.T) {
	forBothRoles(t, func(t *testing.T, p *scriptedPeer) {
		p.send(p.hello())
		p.wantClosed(codes.Internal, "a second hello")
	})
}

// forBothRoles runs a test with a scripted client and with a scripted server.
func forBothRoles(t *testing.T, test func(t *testing.T, p *scriptedPeer)) {
	t.Helper()
	t.Run("of a session that was accepted", func(t *testing.T) {
		bubble(t, func(t *testing.T) { test(t, accepted(t, Config{})) })
	})
	t.Run("of a session that was dialled", func(t *testing.T) {
		bubble(t, func(t *testing.T) { test(t, dialled(t, Config{Services: testService{}.services()})) })
	})
}

func TestClientWaitsForTheServersHello(t *testing.T) {
	for name, frame := range map[string]*pb.Frame{
		"a ping":             {Ping: 1},
		"a confirmation":     {Received: 1},
		"a go_away":          {GoAway: &pb.GoAway{}},
		"a begin":            begin(2, unaryMethod),
		"an unknown kind":    {},
		"a frame of no call": message(1, "x"),
		"an end of no call":  end(1),
		"a further hello":    {Hello: peerHello()},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPeer(t)
				p.accept(Config{}, p.hello())
				p.wantIdle("the server has not decided yet")
				p.send(frame)
				text := "before the hello of this end"
				if frame.GetHello() != nil {
					text = "a second hello"
				}
				p.wantClosed(codes.Internal, text)
			})
		})
	}
}

func TestHelloOfADialledSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPeer(t)
		dial := p.dial(Config{
			Services: testService{}.services(), MaxCalls: 5, CallWindow: 2000, MaxMetadata: 3000,
			Heartbeat: time.Second, PreviousSession: "before", PreviousLost: true,
		})
		p.want("it says who it is", &pb.Frame{Hello: &pb.Hello{
			Version: 1, MaxCalls: 5, CallWindow: 2000, MaxMetadata: 3000, PreviousSession: "before", PreviousLost: true,
		}})
		p.wantIdle("it waits for the server's hello")
		p.send(p.hello(func(h *pb.Hello) { h.Version = 7; h.Features = []string{"new"}; h.SessionId = "mine" }), request(1, "at once"))
		if err := dial.wait("dialling"); err != nil {
			t.Fatalf("got the error %v, want none", err)
		}
		if got := p.session.Peer().Session; got != "mine" {
			t.Errorf("got the session %q, want %q", got, "mine")
		}
		p.want("calls may come with the hello", answer(1, "at once"))
	})
}

func TestHelloOfAnAcceptedSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPeer(t)
		p.accept(Config{Heartbeat: 1500 * time.Millisecond, CallWindow: 1, MaxMetadata: 1 << 30},
			p.hello(func(h *pb.Hello) {
				h.PreviousSession, h.PreviousLost = "before", true
				h.MaxMetadata, h.CallWindow = 1<<31, 1<<40
			}))
		if id, lost := p.session.PreviousSession(); id != "before" || !lost {
			t.Errorf("got the previous session %q, lost: %v, want %q, true", id, lost, "before")
		}
		p.wantIdle("the session is not welcome yet")
		p.session.Welcome()
		p.want("limits stay within the protocol's", &pb.Frame{Hello: &pb.Hello{
			Version: 1, SessionId: "test-session", HeartbeatMs: 1500, CallWindow: wire.MinCallWindow, MaxMetadata: wire.MaxMetadata,
		}})
		if got := p.session.remote.callWindow; got != 1<<30 {
			t.Errorf("got a window of %d bytes for the peer's calls, want 1 GiB", got)
		}
		if got := p.session.remote.maxMetadata; got != wire.MaxMetadata {
			t.Errorf("got %d bytes of metadata for the peer, want %d", got, wire.MaxMetadata)
		}
	})
}

func TestHelloWithUnknownFields(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPeer(t)
		a := p.accepting(Config{})
		hello, err := proto.Marshal(peerHello())
		if err != nil {
			t.Fatal(err)
		}
		p.sendBytes(frameBytes(append(field(12, append(hello, field(99, []byte("new"))...)), varint(98, 1)...)))
		if err := a.wait("accepting"); err != nil {
			t.Errorf("got the error %v, want none", err)
		}
	})
}

// Nothing precedes the server's hello, not even a confirmation of very much.
func TestHelloIsTheFirstFrame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPeer(t)
		p.accept(Config{}, p.hello(func(h *pb.Hello) { h.Features = []string{string(make([]byte, 2*ackEvery))} }))
		if p.read(); p.received != 0 {
			t.Errorf("got %d bytes before the session is welcome, want none", p.received)
		}
		p.session.Welcome()
		p.skipHello()
	})
}

func TestHandshakeTimeout(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Second} {
		want := max(timeout, 0)
		if want == 0 {
			want = defaultHandshakeTimeout
		}
		t.Run(fmt.Sprint(want), func(t *testing.T) {
			for role, begin := range map[string]func(*scriptedPeer) *async{
				"accepting": func(p *scriptedPeer) *async { return p.accepting(Config{HandshakeTimeout: timeout}) },
				"dialling":  func(p *scriptedPeer) *async { return p.dial(Config{HandshakeTimeout: timeout}) },
			} {
				t.Run(role, func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						p := newPeer(t)
						began := time.Now()
						session := begin(p)
						<-session.done
						if got := time.Since(began); got != want {
							t.Errorf("got a timeout after %v, want %v", got, want)
						}
						session.wantErr("the handshake", codes.DeadlineExceeded, OutcomeAnswered, "hello")
						p.wantCloseFrame(codes.DeadlineExceeded, "hello")
					})
				})
			}
		})
	}
}

func TestHandshakeEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPeer(t)
		ctx, cancel := context.WithCancel(t.Context())
		dial := start(t, func() error {
			_, err := Dial(ctx, p.transport, Config{})
			return err
		})
		p.skipHello()
		cancel()
		dial.wantErr("dialling", codes.Canceled, OutcomeAnswered, "hello")
		p.wantCloseFrame(codes.Canceled, "hello")
	})
}

func TestHandshakeEndsWithTheTransport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPeer(t)
		dial := p.dial(Config{})
		p.skipHello()
		p.end.Close(status.Error(codes.PermissionDenied, "go away"))
		dial.wantErr("dialling", codes.Unavailable, OutcomeAnswered, "go away")
	})
	bubble(t, func(t *testing.T) {
		p := newPeer(t)
		a := p.accepting(Config{})
		p.end.Close(nil)
		if err := a.wait("accepting"); err == nil || err == io.EOF {
			t.Errorf("got the error %v, want one that says what happened", err)
		}
	})
}
