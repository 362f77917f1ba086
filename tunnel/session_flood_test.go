package tunnel

import (
	"context"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

func TestPingFlood(t *testing.T) {
	const interval = 10 * time.Second
	begin := func(t *testing.T) *scriptedPeer {
		return dialled(t, Config{}, func(h *pb.Hello) { h.HeartbeatMs = uint32(interval.Milliseconds()) })
	}
	ping := func(p *scriptedPeer, v uint64) {
		p.t.Helper()
		p.send(&pb.Frame{Ping: v})
		p.want("a ping is answered at once", &pb.Frame{Pong: v})
	}
	t.Run("a burst is allowed, and nothing above it", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := begin(t)
			for i := range uint64(20) {
				ping(p, i+1)
			}
			p.send(&pb.Frame{Ping: 21})
			p.wantClosed(codes.Internal, "too many pings")
		})
	})
	t.Run("in one batch", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := begin(t)
			var frames []*pb.Frame
			for range 1000 {
				frames = append(frames, &pb.Frame{Ping: 1})
			}
			p.send(frames...)
			p.wantClosed(codes.Internal, "too many pings")
		})
	})
	t.Run("ten for each interval are allowed for ever", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := begin(t)
			for i := range uint64(200) {
				time.Sleep(interval / 10)
				ping(p, i+1)
			}
			p.wantIdle("the session goes on")
		})
	})
	t.Run("without heartbeats too", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := dialled(t, Config{})
			for i := range uint64(20) {
				ping(p, i+1)
			}
			p.send(&pb.Frame{Ping: 21})
			p.wantClosed(codes.Internal, "too many pings")
		})
	})
}

// stall is a service whose handlers wait to be released, whatever their contexts
// say, and count themselves.
type stall struct {
	once     sync.Once
	released chan struct{}
	running  chan struct{}
}

func newStall() *stall {
	return &stall{released: make(chan struct{}), running: make(chan struct{}, 1<<16)}
}

// release lets all handlers return. It is to be deferred, too.
func (s *stall) release() { s.once.Do(func() { close(s.released) }) }

func (s *stall) services() *Services {
	handle := func() {
		s.running <- struct{}{}
		<-s.released
		<-s.running
	}
	return testService{
		unary:  func(context.Context, string) (string, error) { handle(); return "done", nil },
		stream: func(grpc.ServerStream) error { handle(); return nil },
	}.services()
}

func TestBeginFlood(t *testing.T) {
	const limit, flood = 3, 1000
	bubble(t, func(t *testing.T) {
		s := newStall()
		defer s.release()
		p := dialled(t, Config{Services: s.services(), MaxCalls: limit})
		id := uint64(1)
		for ; id < 2*limit; id += 2 {
			p.send(request(id, "x"))
		}
		p.wantIdle("so many calls are served at a time")
		for id < 2*(limit+flood) {
			var batch []*pb.Frame
			for range 500 {
				batch = append(batch, begin(id, bidiMethod), message(id, "of a call that is refused"), halfClose(id), window(id, 5))
				id += 2
			}
			first := batch[0].GetCallId()
			p.send(batch...)
			for ; first < id; first += 2 {
				p.want("a call above the limit is refused, and only that",
					refusedBy(LimitCalls, first, `pushtunnel: the limit "calls" is reached: 3 calls at a time`))
			}
		}
		p.wantIdle("that is all")
		if got := len(s.running); got != limit {
			t.Errorf("got %d handlers, want %d", got, limit)
		}
		s.release()
		p.wantAll("those under way go on", answer(1, "done"), answer(3, "done"), answer(5, "done"))
		p.send(request(id, "x"))
		p.want("and there is room again", answer(id, "done"))
		if got := p.session.table.size(); got != 0 {
			t.Errorf("got %d calls in the table, want none", got)
		}
	})
}

// A peer that makes this end talk and does not listen is disconnected before it
// costs much memory.
func TestDeafPeer(t *testing.T) {
	const calls = 50
	type flood struct {
		name string
		next func(i uint64) []*pb.Frame // what it sends again and again
	}
	for _, f := range []flood{
		{"that begins calls above the limit", func(i uint64) (frames []*pb.Frame) {
			for k := range uint64(100) {
				frames = append(frames, begin(101+200*i+2*k, unaryMethod))
			}
			return frames
		}},
		{"that begins calls of methods that are none", func(i uint64) (frames []*pb.Frame) {
			for k := range uint64(100) {
				frames = append(frames, begin(101+200*i+2*k, "/no.Service/Method"))
			}
			return frames
		}},
		{"that sends messages for windows", func(uint64) (frames []*pb.Frame) {
			for id := range uint64(calls) {
				half := nextPiece(2*id+1, encodedSize(wire.MinCallWindow/2-wire.MessageOverhead)) // it is given back
				frames = append(frames, half, half)
			}
			return frames
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := dialled(t, Config{MaxCalls: calls, CallWindow: wire.MinCallWindow, Services: testService{stream: func(stream grpc.ServerStream) error {
					for {
						if _, err := receive(stream); err != nil {
							return err
						}
					}
				}}.services()})
				for id := range uint64(calls) {
					p.send(begin(2*id+1, bidiMethod))
				}
				p.transport.inline.Store(0)
				p.transport.shut()
				for i := range uint64(100_000) {
					p.send(f.next(i)...)
					if p.session.ended() {
						break
					}
					if got := p.session.out.controlBytes(); got > 2*maxControl {
						t.Fatalf("got %d bytes that wait to be sent, want at most %d", got, 2*maxControl)
					}
				}
				p.wantEnded(codes.Internal, "makes this end talk and does not listen")
			})
		})
	}
}

// controlBytes is how much memory the control frames that wait take.
func (o *outbox) controlBytes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return cap(o.control)
}

// Calls that are cancelled do not stop to count while their handlers run.
func TestRapidReset(t *testing.T) {
	const limit = 4
	bubble(t, func(t *testing.T) {
		s := newStall()
		defer s.release()
		p := dialled(t, Config{Services: s.services(), MaxCalls: limit})
		for i := range uint64(1000) {
			id := 2*i + 1
			p.send(request(id, "x"), cancelled(id))
			if got := len(s.running); got > limit {
				t.Fatalf("got %d handlers, want at most %d", got, limit)
			}
			if got := p.session.table.size(); got > limit {
				t.Fatalf("got %d calls in the table, want at most %d", got, limit)
			}
		}
		for i := range uint64(1000 - limit) {
			p.want("those above the limit are refused", refusedBy(LimitCalls, 2*(i+limit)+1, `pushtunnel: the limit "calls" is reached: 4 calls at a time`))
		}
		p.wantIdle("a cancelled call is not answered")
		s.release()
		p.wantIdle("not even when its handler is done")
		if got := p.session.InFlight(); got != 0 {
			t.Errorf("got %d calls under way, want none", got)
		}
		p.send(request(2001, "x"))
		p.want("there is room again", answer(2001, "done"))
	})
}

// A peer may send on what it does not know to be over: as much as it had window
// for, and no more.
func TestStrayFrames(t *testing.T) {
	const frames = (64<<10 + lateFrames*frameCost) / frameCost
	t.Run("of a call that was cancelled", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := accepted(t, Config{})
			ctx, cancel := context.WithCancel(t.Context())
			p.stream(ctx, bidiDesc)
			p.want("a call", begin(1, bidiMethod))
			cancel()
			p.want("it is given up", cancelled(1))
			p.floodWithStray(frames)
		})
	})
	t.Run("of a call that was answered", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := dialled(t, Config{Services: testService{stream: func(grpc.ServerStream) error { return nil }}.services()})
			p.send(begin(1, bidiMethod))
			p.want("the handler has heard enough", end(1))
			p.floodWithStray(frames)
		})
	})
	t.Run("of a call that was refused", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := dialled(t, Config{})
			p.send(begin(1, bidiMethod))
			p.want("it is refused", refused(1, codes.Unimplemented, "this end of the tunnel serves no calls"))
			p.floodWithStray(frames)
		})
	})
}

// Several calls with large windows may be given up together.
func TestStrayFramesOfManyCalls(t *testing.T) {
	const calls, size = 4, 4 << 20
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{CallWindow: size})
		ctx, cancel := context.WithCancel(t.Context())
		var gone []*pb.Frame
		for i := range uint64(calls) {
			p.stream(ctx, bidiDesc)
			p.want("a call", begin(2*i+1, bidiMethod))
			gone = append(gone, cancelled(2*i+1))
		}
		cancel()
		p.wantAll("they are given up", gone...)
		for i := range uint64(calls) {
			for range size / (wire.MaxPiece + wire.MessageOverhead) {
				p.send(nextPiece(2*i+1, filled(wire.MaxPiece)))
			}
		}
		p.wantIdle("all of it was allowed when it left")
	})
}

// floodWithStray sends frames of call 1, which is over: so many are tolerated.
func (p *scriptedPeer) floodWithStray(tolerated int) {
	p.t.Helper()
	var batch []*pb.Frame
	for range 64 {
		batch = append(batch, nextPiece(1, filled(0)))
	}
	for range tolerated / len(batch) {
		p.send(batch...)
		p.wantIdle("a frame that has crossed the end is ignored")
	}
	p.send(batch...)
	p.wantClosed(codes.Internal, "call 1: frames of a call after its end")
}

// A call whose caller has given it up has nothing more to say.
func TestStrayFramesAfterCancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStall()
		defer s.release()
		p := dialled(t, Config{Services: s.services()})
		p.send(begin(1, bidiMethod))
		p.send(cancelled(1))
		p.send(message(1, "x"))
		p.wantClosed(codes.Internal, "call 1: frames of a call after its end")
		s.release()
	})
}

// Empty messages cost window, so that they are not free.
func TestEmptyMessageFlood(t *testing.T) {
	const most = defaultCallWindow / wire.MessageOverhead // 1024
	forBothStreams(t, Config{}, func(t *testing.T, p *scriptedPeer, in func() *inbox) {
		for range most {
			p.send(nextPiece(1, filled(0)))
		}
		p.wantIdle("so many may wait")
		if got := in().queued(); got != most {
			t.Errorf("got %d messages queued, want %d", got, most)
		}
		p.send(nextPiece(1, filled(0)))
		p.wantClosed(codes.Internal, "more than the window of a call allows")
		if got := in().queued(); got > most {
			t.Errorf("got %d messages queued at the end, want at most %d", got, most)
		}
	})
}

// queued is how many pieces wait to be taken.
func (in *inbox) queued() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.pieces.len()
}

// forBothStreams runs a test with a stream that nobody reads, call 1, whose
// sender is the scripted peer: as a caller and as a handler.
func forBothStreams(t *testing.T, cfg Config, test func(t *testing.T, p *scriptedPeer, in func() *inbox)) {
	t.Helper()
	t.Run("from the caller", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			s := newStall()
			defer s.release()
			cfg.Services = s.services()
			p := dialled(t, cfg)
			p.send(begin(1, bidiMethod))
			table := &p.session.table
			table.mu.Lock()
			c := table.calls[1].(*handlerCall) //nolint:forcetypeassert // it is one
			table.mu.Unlock()
			test(t, p, func() *inbox { return &c.in })
			s.release()
		})
	})
	t.Run("from the handler", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			cfg.Services = nil
			p := accepted(t, cfg)
			c := p.stream(t.Context(), bidiDesc).(*callerCall) //nolint:forcetypeassert // it is one
			p.want("a call", begin(1, bidiMethod))
			test(t, p, func() *inbox { return &c.in })
		})
	})
}

// A message that is announced as too large costs nothing and fails its call
// alone.
func TestOversizeMessage(t *testing.T) {
	forBothStreams(t, Config{MaxRecvMsgSize: 1000}, func(t *testing.T, p *scriptedPeer, in func() *inbox) {
		p.send(nextPiece(1, encodedSize(1000)))
		p.send(firstPiece(1, 1<<60, filled(10_000)))
		for range 5 {
			p.send(nextPiece(1, filled(10_000)))
		}
		p.wantIdle("the call is not over yet")
		if got := in().heldBytes(); got > 2000 {
			t.Errorf("got %d bytes held, want those of the first message", got)
		}
		if p.session.server {
			p.send(answer(3, "x")) // of a call that was never begun
			p.wantClosed(codes.Internal, "never begun")
		}
	})
}

// heldBytes is how many bytes of messages wait to be taken, as their buffers
// have them.
func (in *inbox) heldBytes() (n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, p := range in.pieces.all() {
		if p.data != nil {
			n += p.data.Len()
		}
	}
	for _, b := range in.partial {
		n += b.Len()
	}
	return n
}

// A peer that goes away again and again does no harm.
func TestGoAwayFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		call, _ := p.invoke(t.Context(), "x")
		p.want("a call", request(1, "x"))
		for range 1000 {
			p.send(&pb.Frame{GoAway: &pb.GoAway{}})
		}
		p.wantIdle("a call is under way")
		p.send(answer(1, "x"))
		p.want("that was the last word", &pb.Frame{Done: true})
		p.wantIdle("it is said once")
		if err := call.wait("the call"); err != nil {
			t.Errorf("got the error %v, want none", err)
		}
	})
}

// What the caller sends may come while the answer is still being sent.
func TestFramesThatCrossTheAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStall()
		defer s.release()
		p := dialled(t, Config{Services: s.services()})
		p.send(begin(1, bidiMethod))
		p.transport.shut()
		s.release()
		p.wantIdle("the answer is being sent")
		if !p.transport.blocked.Load() {
			t.Fatal("got nothing sent, want the answer under way")
		}
		p.send(message(1, "x"))
		p.wantIdle("the peer could not know")
		p.transport.open()
		p.want("the answer", end(1))
	})
}
