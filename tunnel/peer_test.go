package tunnel

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// scriptedPeer is the other end of a session: a test says what it sends and what
// it expects. It speaks through the generated code, so that it shares nothing
// with what it tests. All its methods belong to the goroutine of a
// synctest.Test; before it looks, it lets the session come to rest.
//
// It takes what the session sends at once, keeps a count of all bytes, confirms
// what it receives, and checks every confirmation that it gets. Frames that only confirm it keeps to itself.
type scriptedPeer struct {
	t         *testing.T
	end       Transport
	in        <-chan mem.Buffer // what the session has sent
	session   *Session
	transport *testTransport  // the session's
	mute      bool            // it confirms nothing
	onFrame   func(*pb.Frame) // sees all that the session sends, if set

	batches   [][]*pb.Frame // received and not yet wanted
	sizes     []int         // of all batches with other frames than received
	sent      uint64        // bytes of batches
	confirmed uint64        // how many of them the session has confirmed
	received  uint64        // bytes of batches
	acked     uint64        // how many of them this end has confirmed
}

// peerHello is what a scripted peer says about itself unless told otherwise.
func peerHello() *pb.Hello {
	return &pb.Hello{Version: 1, SessionId: "test-session", MaxCalls: 1024, CallWindow: 64 << 10, MaxMetadata: 64 << 10}
}

// newPeer returns a peer, with no session yet.
func newPeer(t *testing.T) *scriptedPeer {
	a, b := Pipe()
	p := &scriptedPeer{t: t, end: b, in: b.(*pipeEnd).in, transport: newTestTransport(a)}
	t.Cleanup(p.stop)
	return p
}

// accepted returns a scripted client of a session that has been accepted and
// welcomed.
func accepted(t *testing.T, cfg Config, changes ...func(*pb.Hello)) *scriptedPeer {
	t.Helper()
	p := newPeer(t)
	p.accept(cfg, p.hello(changes...))
	p.session.Welcome()
	p.skipHello()
	return p
}

// dialled returns a scripted server of a session that has been dialled.
func dialled(t *testing.T, cfg Config, changes ...func(*pb.Hello)) *scriptedPeer {
	t.Helper()
	p := newPeer(t)
	dial := p.dial(cfg)
	p.skipHello()
	p.send(p.hello(changes...))
	if err := dial.wait("dialling"); err != nil {
		t.Fatalf("dialling: got the error %v, want none", err)
	}
	return p
}

// hello is the peer's first frame.
func (p *scriptedPeer) hello(changes ...func(*pb.Hello)) *pb.Frame {
	h := peerHello()
	for _, change := range changes {
		change(h)
	}
	return &pb.Frame{Hello: h}
}

// accept accepts a session whose client sends these frames.
func (p *scriptedPeer) accept(cfg Config, frames ...*pb.Frame) {
	p.t.Helper()
	a := p.accepting(cfg)
	p.send(frames...)
	if err := a.wait("accepting"); err != nil {
		p.t.Fatalf("accepting: got the error %v, want none", err)
	}
}

func (p *scriptedPeer) accepting(cfg Config) *async {
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = -1
	}
	cfg.Remote.Session = "test-session"
	return start(p.t, func() (err error) {
		s, err := Accept(p.t.Context(), p.transport, cfg)
		if err == nil {
			p.session = s
		}
		return err
	})
}

func (p *scriptedPeer) dial(cfg Config) *async {
	return start(p.t, func() (err error) {
		s, err := Dial(p.t.Context(), p.transport, cfg)
		if err == nil {
			p.session = s
		}
		return err
	})
}

// skipHello takes the session's hello.
func (p *scriptedPeer) skipHello() *pb.Hello {
	p.t.Helper()
	f := p.next("the session says hello")
	if f.GetHello() == nil {
		p.t.Fatalf("got %v, want a hello", f)
	}
	return f.GetHello()
}

// stop ends the session and checks that it leaves nothing behind. What runs for
// ever after it, synctest finds.
func (p *scriptedPeer) stop() {
	p.transport.open()
	p.end.Close(nil)
	synctest.Wait()
	if p.session != nil && !p.session.ended() {
		p.t.Error("the transport has ended and the session has not")
	}
	if n := p.transport.pool.out.Load(); n != 0 {
		p.t.Errorf("%d of the batches received were not freed", n)
	}
}

// send sends a batch of frames and lets the session act on it.
func (p *scriptedPeer) send(frames ...*pb.Frame) {
	p.t.Helper()
	b, err := proto.Marshal(&pb.Batch{Frames: frames})
	if err != nil {
		p.t.Fatalf("encoding %v: %v", frames, err)
	}
	p.sendBytes(b)
}

// sendBytes sends these bytes as a batch and lets the session act on it. It does
// not matter whether the session has ended.
func (p *scriptedPeer) sendBytes(b []byte) {
	p.sent += uint64(len(b))
	p.end.Send(mem.SliceBuffer(b))
	p.read()
}

// ack confirms all that has been received.
func (p *scriptedPeer) ack() {
	p.acked = p.received
	p.send(&pb.Frame{Received: p.received})
}

// read takes all batches that the session has sent.
func (p *scriptedPeer) read() {
	p.t.Helper()
	for {
		synctest.Wait()
		select {
		case b := <-p.in:
			p.readBatch(b)
		default:
			return
		}
		if p.received-p.acked >= 32<<10 && !p.mute {
			p.ack()
		}
	}
}

func (p *scriptedPeer) readBatch(b mem.Buffer) {
	p.t.Helper()
	data := b.ReadOnlyData()
	p.received += uint64(len(data))
	batch := &pb.Batch{}
	if err := proto.Unmarshal(data, batch); err != nil {
		p.t.Fatalf("the session sent a batch that is none: %v", err)
	}
	var frames []*pb.Frame
	for _, f := range batch.GetFrames() {
		if p.onFrame != nil {
			p.onFrame(f)
		}
		if n := f.GetReceived(); n > 0 {
			if n < p.confirmed || n > p.sent {
				p.t.Errorf("got %d bytes confirmed, want no less than the %d before and no more than the %d sent", n, p.confirmed, p.sent)
			}
			p.confirmed = n
			if proto.Equal(f, &pb.Frame{Received: n}) {
				continue
			}
		}
		frames = append(frames, f)
	}
	if frames != nil {
		p.batches = append(p.batches, frames)
		p.sizes = append(p.sizes, len(data))
	}
	b.Free()
}

// next returns the next frame.
func (p *scriptedPeer) next(why string) *pb.Frame {
	p.t.Helper()
	p.read()
	if len(p.batches) == 0 {
		p.t.Fatalf("%s: got no frame, want one; the session's error: %v", why, p.err())
	}
	f := p.batches[0][0]
	if p.batches[0] = p.batches[0][1:]; len(p.batches[0]) == 0 {
		p.batches = p.batches[1:]
	}
	return f
}

// want expects frames, in whatever batches.
func (p *scriptedPeer) want(why string, frames ...*pb.Frame) {
	p.t.Helper()
	for _, want := range frames {
		if diff := cmp.Diff(want, p.next(why), protocmp.Transform()); diff != "" {
			p.t.Fatalf("%s: the frame differs (-want +got):\n%s", why, diff)
		}
	}
}

// wantAll expects frames in any order.
func (p *scriptedPeer) wantAll(why string, frames ...*pb.Frame) {
	p.t.Helper()
	frames = slices.Clone(frames)
	for len(frames) > 0 {
		got := p.next(why)
		i := slices.IndexFunc(frames, func(f *pb.Frame) bool { return proto.Equal(f, got) })
		if i < 0 {
			p.t.Fatalf("%s: got %v, want one of %v", why, got, frames)
		}
		frames = slices.Delete(frames, i, i+1)
	}
}

// wantBatch expects exactly these frames in one batch.
func (p *scriptedPeer) wantBatch(why string, frames ...*pb.Frame) {
	p.t.Helper()
	p.read()
	if len(p.batches) == 0 {
		p.t.Fatalf("%s: got no batch, want one", why)
	}
	if diff := cmp.Diff(frames, p.batches[0], protocmp.Transform()); diff != "" {
		p.t.Fatalf("%s: the batch differs (-want +got):\n%s", why, diff)
	}
	p.batches = p.batches[1:]
}

// wantIdle expects nothing.
func (p *scriptedPeer) wantIdle(why string) {
	p.t.Helper()
	p.read()
	if len(p.batches) > 0 {
		p.t.Fatalf("%s: got %v, want nothing", why, p.batches)
	}
	if p.session != nil && p.session.ended() {
		p.t.Fatalf("%s: the session has ended: %v", why, p.session.Err())
	}
}

// err returns the session's error.
func (p *scriptedPeer) err() error {
	if p.session == nil {
		return nil
	}
	return p.session.Err()
}

// wantClosed expects that the session ends for this reason and says so in its
// last frame. What it has sent before is skipped.
func (p *scriptedPeer) wantClosed(code codes.Code, text string) {
	p.t.Helper()
	p.wantEnded(code, text)
	p.wantCloseFrame(code, text)
}

// wantEnded expects that the session has ended for this reason.
func (p *scriptedPeer) wantEnded(code codes.Code, text string) {
	p.t.Helper()
	synctest.Wait()
	if p.session == nil {
		p.t.Fatal("there is no session")
	}
	if !p.session.ended() {
		p.t.Fatalf("the session goes on, want it ended with %v: %q", code, text)
	}
	if err := p.session.Err(); status.Code(err) != code || !strings.Contains(fmt.Sprint(err), text) {
		p.t.Fatalf("got the session's error %v, want %v with %q", err, code, text)
	}
}

// wantCloseFrame expects that the last frame is a close with this reason, and
// that the session has closed its transport with the same.
func (p *scriptedPeer) wantCloseFrame(code codes.Code, text string) {
	p.t.Helper()
	p.read()
	var last *pb.Frame
	for _, frames := range p.batches {
		last = frames[len(frames)-1]
	}
	p.batches = nil
	if c := last.GetClose(); c == nil || codes.Code(c.GetCode()) != code || !strings.Contains(string(c.GetMessage()), text) {
		p.t.Fatalf("got the last frame %v, want a close with %v and %q", last, code, text)
	}
	if err := p.transport.closedWith(); status.Code(err) != code || !strings.Contains(fmt.Sprint(err), text) {
		p.t.Fatalf("got the transport closed with %v, want %v and %q", err, code, text)
	}
}

// async is a function that runs beside the test.
type async struct {
	t    *testing.T
	done chan struct{}
	err  error
}

func start(t *testing.T, f func() error) *async {
	a := &async{t: t, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.err = f()
	}()
	return a
}

// running reports whether it still runs when all has come to rest.
func (a *async) running() bool {
	synctest.Wait()
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

// wait returns the function's error. It must have ended without waiting for
// time to pass.
func (a *async) wait(what string) error {
	a.t.Helper()
	if a.running() {
		a.t.Fatalf("%s: got nothing, want an end", what)
	}
	return a.err
}

// wantErr expects that it has ended with this error.
func (a *async) wantErr(what string, code codes.Code, outcome Outcome, text string) {
	a.t.Helper()
	err := a.wait(what)
	if status.Code(err) != code || OutcomeOf(err) != outcome || !strings.Contains(fmt.Sprint(err), text) {
		a.t.Errorf("%s: got the error %v (%v, %v), want %v, %v with %q", what, err, status.Code(err), OutcomeOf(err), code, outcome, text)
	}
}
