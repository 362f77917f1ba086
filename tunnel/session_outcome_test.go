package tunnel

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// A call that never left is told apart from one that may have.
func TestOutcomesWhenTheSessionEnds(t *testing.T) {
	for name, end := range map[string]func(p *scriptedPeer){
		"by the peer":           func(p *scriptedPeer) { p.end.Close(nil) },
		"by a close":            func(p *scriptedPeer) { p.send(&pb.Frame{Close: &pb.Status{Code: 14}}) },
		"by a violation":        func(p *scriptedPeer) { p.send(&pb.Frame{Critical: true}) },
		"by this end":           func(p *scriptedPeer) { p.session.Close(nil) },
		"by a broken transport": func(p *scriptedPeer) { p.transport.Close(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := accepted(t, Config{})
				sent, _ := p.invoke(t.Context(), "sent")
				p.want("a call", request(1, "sent"))
				p.transport.inline.Store(0)
				p.transport.shut()
				sending, _ := p.invoke(t.Context(), "is being sent")
				p.wantIdle("the transport is slow")
				waiting, _ := p.invoke(t.Context(), "waits")
				p.wantIdle("the transport is slow")
				stream := p.stream(t.Context(), bidiDesc)
				if err := stream.SendMsg(text("waits, too")); err != nil {
					t.Fatal(err)
				}
				unsaid := p.stream(t.Context(), serverDesc)
				end(p)
				<-p.session.Done()

				sent.wantErr("a call that was sent", codes.Unavailable, OutcomeUnknown, "the session has ended")
				sending.wantErr("a call that was being sent", codes.Unavailable, OutcomeUnknown, "the session has ended")
				waiting.wantErr("a call that waited", codes.Unavailable, OutcomeNotSent, "the session has ended")
				start(t, func() error { _, err := receive(stream); return err }).
					wantErr("a stream that waited", codes.Unavailable, OutcomeNotSent, "the session has ended")
				start(t, func() error {
					if err := unsaid.SendMsg(text("x")); err != nil && err != io.EOF {
						return err
					}
					_, err := receive(unsaid)
					return err
				}).wantErr("a stream without a request", codes.Unavailable, OutcomeNotSent, "the session has ended")
				late, _ := p.invoke(t.Context(), "late")
				late.wantErr("a call after the end", codes.Unavailable, OutcomeNotSent, "the session has ended")
				if _, err := p.session.NewStream(t.Context(), bidiDesc, bidiMethod); !NotSent(err) || status.Code(err) != codes.Unavailable {
					t.Errorf("a stream after the end: got the error %v, want UNAVAILABLE, not sent", err)
				}
			})
		})
	}
}

func TestOutcomeRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		call, _ := p.invoke(t.Context(), "x")
		p.want("a call", request(1, "x"))
		p.send(refused(1, codes.ResourceExhausted, "too many"))
		call.wantErr("a call that was refused", codes.ResourceExhausted, OutcomeRefused, "too many")
		call, _ = p.invoke(t.Context(), "x")
		p.want("a call", request(3, "x"))
		p.send(failed(3, codes.ResourceExhausted, "too much"))
		call.wantErr("a call that was answered", codes.ResourceExhausted, OutcomeAnswered, "too much")
		stream := p.stream(t.Context(), bidiDesc)
		p.want("a stream", begin(5, bidiMethod))
		p.send(refused(5, codes.Unimplemented, "what?"))
		start(t, func() error { _, err := receive(stream); return err }).
			wantErr("a stream that was refused", codes.Unimplemented, OutcomeRefused, "what?")
	})
}

// What this end refuses never leaves it, and hurts no other call.
func TestOutcomeOfWhatIsNotAllowed(t *testing.T) {
	big := strings.Repeat("x", 70<<10)
	with := func(pairs ...string) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return metadata.AppendToOutgoingContext(ctx, pairs...) }
	}
	same := func(ctx context.Context) context.Context { return ctx }
	for _, test := range []struct {
		name    string
		ctx     func(context.Context) context.Context
		method  string
		request any
		opts    []grpc.CallOption
		code    codes.Code
		text    string
	}{
		{"an ended context", func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx
		}, unaryMethod, text("x"), nil, codes.Canceled, "context canceled"},
		{"a passed deadline", func(ctx context.Context) context.Context {
			ctx, cancel := context.WithTimeout(ctx, -1)
			cancel()
			return ctx
		}, unaryMethod, text("x"), nil, codes.DeadlineExceeded, "deadline"},
		{"much metadata", with("k", big), unaryMethod, text("x"), nil, codes.ResourceExhausted, "the metadata has 71713 bytes, above the limit of 65536"},
		{"much binary metadata", with("k-bin", big), unaryMethod, text("x"), nil, codes.ResourceExhausted, "above the limit of 65536"},
		{"metadata that is not printable", with("k", "\x01"), unaryMethod, text("x"), nil, codes.Internal, "non-printable"},
		{"a bad metadata key", with("k y", "v"), unaryMethod, text("x"), nil, codes.Internal, "illegal characters"},
		{"a message that can't be encoded", same, unaryMethod, 5, nil, codes.Internal, "marshal"},
		{"a message above the limit", same, unaryMethod, text("four"), []grpc.CallOption{grpc.MaxCallSendMsgSize(3)}, codes.ResourceExhausted, "larger than max (6 vs. 3)"},
		{"a method that is not UTF-8", same, "/test.Test/\xff", text("x"), nil, codes.Internal, "method"},
		{"a method of 2 MiB", same, "/test.Test/" + strings.Repeat("x", 2<<20), text("x"), nil, codes.ResourceExhausted, "limit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := accepted(t, Config{})
				call := start(t, func() error {
					return p.session.Invoke(test.ctx(t.Context()), test.method, test.request, &wrapperspb.BytesValue{}, test.opts...)
				})
				call.wantErr("the call", test.code, OutcomeNotSent, test.text)
				call = start(t, func() error {
					stream, err := p.session.NewStream(test.ctx(t.Context()), serverDesc, test.method, test.opts...)
					if err != nil {
						return err
					}
					if err := stream.SendMsg(test.request); err != nil {
						return err
					}
					_, err = receive(stream)
					return err
				})
				call.wantErr("a stream", test.code, OutcomeNotSent, test.text)
				p.wantIdle("nothing has left")
				if n := p.session.InFlight(); n != 0 {
					t.Errorf("got %d calls under way, want none", n)
				}
				good, _ := p.invoke(t.Context(), "x")
				p.want("other calls go on, with the first id", request(1, "x"))
				p.send(answer(1, ""))
				if err := good.wait("another call"); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// When a stream fails at this end after it has begun, the peer is told, and
// nobody thinks that it was never sent.
func TestOutcomeOfALaterFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		stream := p.stream(t.Context(), bidiDesc)
		if err := stream.SendMsg(text("x")); err != nil {
			t.Fatal(err)
		}
		p.want("a call", begin(1, bidiMethod), message(1, "x"))
		err := stream.SendMsg(5)
		if status.Code(err) != codes.Internal || OutcomeOf(err) != OutcomeUnknown {
			t.Errorf("got the error %v (%v), want INTERNAL, unknown", err, OutcomeOf(err))
		}
		p.want("the peer is told", cancelled(1))
	})
}

func TestOutcomeOfTooManyCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{Remote: Peer{Name: "c1"}}, func(h *pb.Hello) { h.MaxCalls = 2 })
		first, _ := p.invoke(t.Context(), "a")
		second, _ := p.invoke(t.Context(), "b")
		p.wantAll("so many are allowed", request(1, "a"), request(3, "b"))
		third, _ := p.invoke(t.Context(), "c")
		third.wantErr("a call above the limit", codes.ResourceExhausted, OutcomeNotSent, `client "c1": the limit "calls" is reached: 2 calls at a time`)
		p.send(answer(1, ""), answer(3, ""))
		if err := errors.Join(first.wait("the first"), second.wait("the second")); err != nil {
			t.Error(err)
		}
		fourth, _ := p.invoke(t.Context(), "d")
		p.want("there is room again", request(5, "d"))
		p.send(answer(5, ""))
		if err := fourth.wait("the fourth"); err != nil {
			t.Error(err)
		}
	})
}

// A call that is given up before it has left leaves no trace.
func TestGivenUpBeforeItLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		p.transport.inline.Store(0)
		p.transport.shut()
		first, _ := p.invoke(t.Context(), "a")
		p.wantIdle("the transport is slow")
		ctx, cancel := context.WithCancel(t.Context())
		second, _ := p.invoke(ctx, "b")
		p.wantIdle("the transport is slow")
		cancel()
		second.wantErr("a call that was given up", codes.Canceled, OutcomeNotSent, "context canceled")
		third, _ := p.invoke(t.Context(), "c")
		p.wantIdle("the transport is slow")
		p.transport.open()
		p.want("nothing of it left, not even an id", request(1, "a"), request(3, "c"))
		p.send(answer(1, ""), answer(3, ""))
		if err := errors.Join(first.wait("the first"), third.wait("the third")); err != nil {
			t.Error(err)
		}
	})
}

// Deadlines fire on time, even if the transport takes nothing any more.
func TestDeadlinesOnADeadTransport(t *testing.T) {
	const timeout = 300 * time.Millisecond
	for name, inline := range map[string]int64{"that may block at once": 0, "that takes some": 48 << 10} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := accepted(t, Config{}, wide)
				p.mute = true
				p.transport.inline.Store(inline)
				if inline > 0 {
					// What is under way uses up what it takes at once.
					for p.received < uint64(inline) { //nolint:gosec // positive
						m, _ := sized(10_000)
						stream := p.stream(t.Context(), bidiDesc)
						if err := stream.SendMsg(m); err != nil {
							t.Fatal(err)
						}
						p.read()
					}
				}
				p.transport.shut()
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				first, _ := p.invoke(ctx, "is being sent")
				p.read()
				second, _ := p.invoke(ctx, "waits")
				bidi := p.stream(ctx, bidiDesc)
				m, _ := sized(2 * sendAhead)
				streaming := start(t, func() error {
					for {
						if err := bidi.SendMsg(m); err != nil {
							_, err = receive(bidi)
							return err
						}
					}
				})
				for what, c := range map[string]*async{"the first call": first, "the second call": second, "the stream": streaming} {
					<-c.done
					if took := time.Since(began); took != timeout {
						t.Errorf("%s: got its end after %v, want %v", what, took, timeout)
					}
				}
				first.wantErr("the first call", codes.DeadlineExceeded, OutcomeUnknown, "deadline exceeded")
				second.wantErr("the second call", codes.DeadlineExceeded, OutcomeNotSent, "deadline exceeded")
				streaming.wantErr("the stream", codes.DeadlineExceeded, OutcomeNotSent, "deadline exceeded")
				if !p.transport.blocked.Load() {
					t.Error("the transport took what it was given, want it blocked")
				}
			})
		})
	}
}

// A session whose transport takes nothing can be closed, and says so at once.
func TestCloseOnADeadTransport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		p.transport.inline.Store(0)
		p.transport.shut()
		call, _ := p.invoke(t.Context(), "x")
		p.wantIdle("the transport is dead")
		p.session.Close(status.Error(codes.Aborted, "enough"))
		call.wantErr("the call", codes.Unavailable, OutcomeUnknown, "enough")
	})
}
