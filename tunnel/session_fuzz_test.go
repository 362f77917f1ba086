package tunnel

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// The fuzz targets play a peer that says anything, to a session whose own end is
// busy. The input is a script: see fuzzRun.step. Whatever happens, the session
// must not panic, hang, leak a goroutine or a batch, or hold more memory than it
// may; and what it sends must be right as long as it lives.

func FuzzAcceptedSession(f *testing.F) {
	say := func(frames ...*pb.Frame) []byte { return rawStep(encodedBatch(frames...)) }
	f.Add(script1(nil))
	f.Add(script1(step(opLocal, localUnary), say(answer(1, "hi"))))
	f.Add(script1(step(opLocal, localBidi), say(message(1, "a"), window(1, 5000)), step(opLocal, localSend), step(opLocal, localReceive),
		say(end(1)), step(opLocal, localReceive)))
	f.Add(script1(step(opLocal, localUnary), say(refused(1, codes.ResourceExhausted, "no")), say(&pb.Frame{GoAway: &pb.GoAway{}})))
	f.Add(script1(step(opLocal, localLarge), step(opAck), say(window(1, 50_000)), step(opAck), step(opLocal, localCancel)))
	f.Add(script1(step(opLocal, localBidi), step(opLocal, localCancel), say(message(1, "a")), say(&pb.Frame{Ping: 4}, &pb.Frame{Pong: 5})))
	f.Add(script1(step(opTime, 5), step(opTime, 5), step(opTransport), step(opLocal, localUnary), step(opTransport)))
	f.Add(script1(step(opFrame, 1, 0x41, 3, 0, 1, 2), say(&pb.Frame{Close: &pb.Status{Code: 3}})))
	f.Add(append([]byte{1}, rawStep(changeHello(func(h *pb.Hello) { h.CallWindow = 1024; h.MaxCalls = 1 }))[1:]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) { newFuzzRun(t, true, data).run() })
	})
}

func FuzzDialledSession(f *testing.F) {
	say := func(frames ...*pb.Frame) []byte { return rawStep(encodedBatch(frames...)) }
	f.Add(script1(nil))
	f.Add(script1(say(request(1, "hi")), say(request(3, "a"), request(5, "b"))))
	f.Add(script1(say(begin(1, bidiMethod)), say(message(1, "a"), message(1, "b"), halfClose(1)), step(opLocal, localReceive),
		step(opLocal, localSend), step(opLocal, localReturn)))
	f.Add(script1(say(begin(1, bidiMethod), message(1, "a"), cancelled(1)), step(opLocal, localReturn)))
	f.Add(script1(say(begin(1, bidiMethod)), step(opLocal, localLarge), say(window(1, 50_000)), step(opAck), say(firstPiece(1, 5000, filled(1000)))))
	f.Add(script1(say(request(1, "x")), say(&pb.Frame{GoAway: &pb.GoAway{Reason: "move"}}), step(opLeave), say(&pb.Frame{Done: true})))
	f.Add(script1(say(&pb.Frame{Ping: 4}), step(opTime, 5), say(&pb.Frame{Pong: 5}), step(opTransport), say(request(1, "x")), step(opTransport)))
	f.Add(script1(step(opFrame, 1, 0x41, 3, 0, 1, 2), say(begin(3, "/no.Service/Method"), message(3, "x"))))
	f.Add(append([]byte{1}, rawStep(changeHello(func(h *pb.Hello) { h.CallWindow = 1024; h.HeartbeatMs = 1 }))[1:]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) { newFuzzRun(t, false, data).run() })
	})
}

// The steps of a script.
const (
	opRaw       = iota // a batch of bytes follows
	opFrame            // batches of frames made of the bytes that follow
	opLocal            // this end does something
	opTime             // time passes
	opAck              // all that was received is confirmed
	opTransport        // the transport stops to take anything, or goes on
	opLeave            // this end parts
	opCount
)

// What this end may do.
const (
	localUnary   = iota // calls: a unary call, a stream, a unary call that is large
	localBidi           //
	localLarge          // or a handler sends much
	localSend           // streams and handlers: send, receive
	localReceive        //
	localReturn         // handlers return
	localCancel         // calls are given up
	localCount
)

func step(op ...byte) []byte { return op }

func rawStep(batch []byte) []byte {
	return append([]byte{opRaw, byte(len(batch) >> 8), byte(len(batch))}, batch...)
}

// script1 is a script that begins with a proper hello.
func script1(steps ...[]byte) []byte {
	b := []byte{0}
	for _, s := range steps {
		b = append(b, s...)
	}
	return b
}

// fuzzRun is one run of a script.
type fuzzRun struct {
	t      *testing.T
	p      *scriptedPeer
	server bool
	data   []byte
	ctx    context.Context //nolint:containedctx // of all calls
	local  chan byte       // what handlers shall do
	shut   bool
	work   []*async
	calls  []*fuzzCall
	sent   map[uint64]*fuzzSent // what the session has sent of each call
	window int64                // that the peer has announced
	last   uint64               // the last call that the session has begun
}

// fuzzCall is a call that this end has made.
type fuzzCall struct {
	cancel context.CancelFunc
	stream grpc.ClientStream // nil if it is unary
	work   *async
}

// fuzzSent is what the session has sent of one call.
type fuzzSent struct {
	assembly
	closed, ended, header, messages bool
}

// The limits of the session. They are small, so that scripts reach them.
const (
	fuzzCalls    = 4
	fuzzWindow   = 4 << 10
	fuzzBuffered = 64 << 10
	fuzzCaller   = 8 // calls that this end makes
)

func newFuzzRun(t *testing.T, server bool, data []byte) *fuzzRun {
	return &fuzzRun{
		t: t, p: newPeer(t), server: server, data: data,
		local: make(chan byte), sent: make(map[uint64]*fuzzSent), window: peerWindow,
	}
}

const peerWindow = 64 << 10

func (r *fuzzRun) byte() byte {
	if len(r.data) == 0 {
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *fuzzRun) bytes(n int) []byte {
	n = min(n, len(r.data))
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *fuzzRun) run() {
	ctx, cancel := context.WithCancel(context.Background())
	r.ctx = ctx
	cfg := Config{
		MaxCalls: fuzzCalls, CallWindow: fuzzWindow, MaxCallWindow: 4 * fuzzWindow, MaxBuffered: fuzzBuffered,
		MaxRecvMsgSize: 100_000, MaxMetadata: 2000, Heartbeat: time.Second,
		Services: testService{stream: r.handle}.services(),
	}
	r.p.onFrame = r.check
	if r.begin(cfg) {
		for i := 0; i < 200 && len(r.data) > 0 && !r.p.session.ended(); i++ {
			r.step()
			r.checkMemory()
		}
	}
	r.finish()
	cancel()
}

// begin brings the session up. It reports whether it is up.
func (r *fuzzRun) begin(cfg Config) bool {
	var handshake *async
	if r.server {
		handshake = r.p.accepting(cfg)
	} else {
		handshake = r.p.dial(cfg)
	}
	synctest.Wait()
	if r.byte()%4 == 1 {
		b := r.bytes(int(r.byte())<<8 + int(r.byte()))
		r.learn(b)
		r.p.sendBytes(b)
	} else {
		r.p.send(r.p.hello(func(h *pb.Hello) { h.HeartbeatMs = 1000; h.MaxCalls = fuzzCaller }))
	}
	r.work = append(r.work, handshake)
	if handshake.running() || handshake.err != nil {
		return false
	}
	if r.server {
		r.p.session.Welcome()
	}
	r.p.read()
	return true
}

// learn notes what a batch of the peer's says about windows.
func (r *fuzzRun) learn(b []byte) {
	batch := &pb.Batch{}
	if proto.Unmarshal(b, batch) != nil {
		// The session may read it as far as it goes, and more leniently.
		r.window = 1 << 40
		for _, s := range r.sent {
			s.window = 1 << 40
		}
		return
	}
	for _, f := range batch.GetFrames() {
		if f.GetHello() != nil {
			r.window = int64(min(f.GetHello().GetCallWindow(), 1<<40)) //nolint:gosec // bounded
		}
		if f.GetWindow() != 0 {
			r.of(f.GetCallId()).window += int64(min(f.GetWindow(), 1<<40)) //nolint:gosec // bounded
		}
	}
}

// of returns what the session has sent of a call.
func (r *fuzzRun) of(id uint64) *fuzzSent {
	s := r.sent[id]
	if s == nil {
		s = &fuzzSent{assembly: assembly{t: r.t, window: r.window}}
		r.sent[id] = s
	}
	return s
}

// finish ends the session, unless it has ended; all that this end has begun then
// ends, too.
func (r *fuzzRun) finish() {
	r.p.transport.open()
	if r.p.session != nil && len(r.data)%2 == 0 {
		r.p.session.Close(status.Error(codes.Aborted, "the end"))
	}
	r.p.end.Close(nil)
	synctest.Wait()
	if r.p.session != nil {
		r.p.read()
	}
	for _, c := range r.calls {
		if c.stream != nil {
			c.work = start(r.t, func() error { return drainStream(c.stream) })
		}
		r.work = append(r.work, c.work)
	}
	close(r.local)
	for i, w := range r.work {
		if w.running() {
			r.t.Fatalf("something that this end has begun (%d) does not end with the session", i)
		}
	}
	if s := r.p.session; s != nil {
		if n := s.table.size(); n != 0 {
			r.t.Errorf("got %d calls in the table at the end, want none", n)
		}
		if n := s.budget.left.Load(); n != fuzzBuffered {
			r.t.Errorf("got a budget of %d bytes at the end, want all %d", n, fuzzBuffered)
		}
	}
}

// drainStream reads until the stream ends: it must, with its session.
func drainStream(stream grpc.ClientStream) error {
	for {
		if err := stream.RecvMsg(&wrapperspb.BytesValue{}); err != nil && status.Code(err) != codes.Internal {
			return err
		} else if err != nil {
			return nil // what came was no message
		}
	}
}

func (r *fuzzRun) step() {
	switch r.byte() % opCount {
	case opRaw:
		b := r.bytes(int(r.byte())<<8 + int(r.byte()))
		r.learn(b)
		r.p.sendBytes(b)
	case opFrame:
		var frames []*pb.Frame
		for range r.byte()%4 + 1 {
			frames = append(frames, r.frame())
		}
		b := encodedBatch(frames...)
		r.learn(b)
		r.p.sendBytes(b)
	case opLocal:
		r.doLocal(r.byte() % localCount)
	case opTime:
		time.Sleep(time.Millisecond << (2 * (r.byte() % 8)))
	case opAck:
		r.p.ack()
	case opTransport:
		if r.shut = !r.shut; r.shut {
			r.p.transport.inline.Store(0)
			r.p.transport.shut()
		} else {
			r.p.transport.open()
		}
	case opLeave:
		if len(r.work) < 8 {
			if r.server {
				r.p.session.GoAway(GoAway{Reason: "the script says so"})
			} else {
				r.work = append(r.work, start(r.t, func() error { return r.p.session.Leave(r.ctx) }))
			}
		}
	}
	r.p.read()
	r.p.batches = nil
}

// frame makes a frame that is nearly right.
func (r *fuzzRun) frame() *pb.Frame {
	f := &pb.Frame{CallId: uint64(r.byte() % 12)}
	parts := int(r.byte()) | int(r.byte())<<8
	has := func(bit int) bool { return parts&(1<<bit) != 0 }
	if has(0) {
		method := []string{unaryMethod, serverMethod, clientMethod, bidiMethod, "/test.Test/None", "/no.Test/None", "", "x"}[r.byte()%8]
		f.Begin = &pb.Begin{Method: method}
		if b := r.byte(); b != 0 {
			timeout := uint64(b) << (b % 56)
			f.Begin.TimeoutUs = &timeout
		}
	}
	if has(1) {
		f.Header = &pb.Metadata{Pairs: pairs("key", string(r.bytes(int(r.byte()))))}
	}
	if has(2) {
		n := []int{0, 1, 10, 100, 1000, 4000, 30_000, 70_000}[r.byte()%8]
		f.Message = encodedSizeAtLeast(n)
		f.Compressed, f.Blocked = has(10), has(11)
		if has(3) {
			f.MessageSize = uint64(n) + uint64(r.byte())<<(r.byte()%16)
		}
	}
	f.HalfClose = has(4)
	if has(5) {
		f.End = &pb.End{Status: &pb.Status{Code: uint32(r.byte() % 20), Message: r.bytes(int(r.byte() % 8))}, Refused: has(12)}
	}
	f.Cancel = has(6)
	if has(7) {
		f.Window = uint64(r.byte()) << (r.byte() % 64)
	}
	if has(8) {
		f.Ping, f.Pong = uint64(r.byte()), uint64(r.byte())
	}
	if has(9) {
		f.Received = r.p.received - min(uint64(r.byte()), r.p.received)
	}
	f.Done, f.Critical = has(13), has(14)
	if has(15) {
		f.GoAway = &pb.GoAway{Reason: "x"}
	}
	return f
}

// encodedSizeAtLeast is a message of n bytes, or of a byte more where there is
// none of n.
func encodedSizeAtLeast(n int) []byte {
	if n == 1 {
		n = 3
	}
	return encodedSize(n)
}

// doLocal lets this end do something that takes no time, or runs beside.
func (r *fuzzRun) doLocal(op byte) {
	if !r.server {
		select {
		case r.local <- op:
		default: // no handler waits
		}
		return
	}
	idle := func() *fuzzCall {
		for _, c := range r.calls {
			if c.stream != nil && (c.work == nil || !c.work.running()) {
				return c
			}
		}
		return nil
	}
	switch op {
	case localUnary, localLarge:
		request := "x"
		if op == localLarge {
			request = string(filled(150_000))
		}
		r.call(func(ctx context.Context) error {
			return r.p.session.Invoke(ctx, unaryMethod, text(request), &wrapperspb.BytesValue{})
		})
	case localBidi:
		if len(r.calls) == fuzzCaller {
			return
		}
		ctx, cancel := r.callContext()
		stream, err := r.p.session.NewStream(ctx, bidiDesc, bidiMethod)
		if err != nil {
			cancel()
			return
		}
		r.calls = append(r.calls, &fuzzCall{cancel: cancel, stream: stream})
	case localSend, localReceive:
		if c := idle(); c != nil {
			c.work = start(r.t, func() error {
				if op == localSend {
					return c.stream.SendMsg(text(string(filled(3000))))
				}
				return c.stream.RecvMsg(&wrapperspb.BytesValue{})
			})
		}
	case localReturn:
		if c := idle(); c != nil {
			if err := c.stream.CloseSend(); err != nil {
				r.t.Errorf("closing: got the error %v, want none", err)
			}
		}
	case localCancel:
		if n := len(r.calls); n > 0 {
			r.calls[int(r.byte())%n].cancel()
		}
	}
}

// callContext is that of a call: with a deadline or without.
func (r *fuzzRun) callContext() (context.Context, context.CancelFunc) {
	if b := r.byte(); b%2 == 1 {
		return context.WithTimeout(r.ctx, time.Duration(b)*time.Millisecond)
	}
	return context.WithCancel(r.ctx)
}

func (r *fuzzRun) call(f func(ctx context.Context) error) {
	if len(r.calls) == fuzzCaller {
		return
	}
	c := &fuzzCall{}
	var ctx context.Context
	ctx, c.cancel = r.callContext()
	c.work = start(r.t, func() error { return f(ctx) })
	r.calls = append(r.calls, c)
}

// handle is the handler of streams. It does what the script says, until its
// context ends.
func (r *fuzzRun) handle(stream grpc.ServerStream) error {
	for {
		select {
		case op := <-r.local:
			var err error
			switch op {
			case localReceive:
				_, err = receive(stream)
			case localSend:
				err = stream.SendMsg(text(string(filled(3000))))
			case localLarge:
				err = stream.SendMsg(text(string(filled(150_000))))
			case localReturn:
				return errors.New("the script says so")
			}
			if err != nil {
				return err
			}
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// check looks at a frame that the session sends.
func (r *fuzzRun) check(f *pb.Frame) {
	if f.GetCallId() == 0 {
		return
	}
	s := r.of(f.GetCallId())
	mine := r.server && f.GetCallId()%2 == 1 // the session is the caller
	fail := func(what string) { r.t.Fatalf("the session sent %v: %s", f, what) }
	switch {
	case f.GetBegin() != nil && (!mine || f.GetCallId() != r.last+2 && r.last != 0):
		fail("a begin out of order")
	case s.ended:
		fail("a frame after the end of its call")
	case f.GetHeader() != nil && (mine || s.header || s.messages):
		fail("a header out of order")
	case f.Message != nil && s.closed:
		fail("a message after half_close")
	case mine && f.GetEnd() != nil, !mine && (f.GetHalfClose() || f.GetCancel()):
		fail("a part of the other end")
	case (f.GetEnd() != nil && f.GetEnd().GetStatus().GetCode() == 0 || f.GetHalfClose()) && s.size != 0 && f.Message == nil:
		fail("an end within a message")
	}
	if f.GetBegin() != nil {
		r.last = f.GetCallId()
	}
	s.header = s.header || f.GetHeader() != nil
	if f.Message != nil {
		s.messages = true
		s.add(f)
	}
	s.closed = s.closed || f.GetHalfClose()
	s.ended = f.GetEnd() != nil || f.GetCancel()
}

// checkMemory compares what the session holds with what it may.
func (r *fuzzRun) checkMemory() {
	// Each call has a right to its window twice: what has come, and a message
	// that is not complete. What holds a reference to a batch holds at most four
	// times its size; and each call may hold one batch besides.
	const calls = fuzzCalls + fuzzCaller
	const most = calls*(4*2*fuzzWindow+largeBuffer) + 4*fuzzBuffered
	if got := r.p.transport.pool.bytes.Load(); got > most {
		r.t.Fatalf("got %d bytes of batches held, want at most %d", got, most)
	}
	if got := r.p.session.out.controlBytes(); got > 4*maxControl {
		r.t.Fatalf("got %d bytes of control frames, want at most %d", got, 4*maxControl)
	}
	if got := r.p.session.table.size(); got > calls {
		r.t.Fatalf("got %d calls in the table, want at most %d", got, calls)
	}
}
