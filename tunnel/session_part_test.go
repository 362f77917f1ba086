package tunnel

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// The whole of a parting, as the server sees it.
func TestServerIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told []GoAway
		p := accepted(t, Config{Remote: Peer{Name: "c1"}, OnGoAway: func(g GoAway) { told = append(told, g) }})
		call, _ := p.invoke(t.Context(), "x")
		p.want("a call", request(1, "x"))

		p.session.GoAway(GoAway{Reason: "restart", ReconnectAfter: 1500 * time.Millisecond})
		p.want("the client is asked to move", &pb.Frame{GoAway: &pb.GoAway{Reason: "restart", ReconnectAfterMs: 1500}})
		another, _ := p.invoke(t.Context(), "y")
		p.want("calls go on until it does", request(3, "y"))

		p.send(&pb.Frame{GoAway: &pb.GoAway{Reason: "as you like"}})
		if len(told) != 1 || told[0].Reason != "as you like" {
			t.Errorf("got told %v, want it once, with the reason", told)
		}
		p.wantIdle("calls are under way")
		late, _ := p.invoke(t.Context(), "z")
		late.wantErr("a call now", codes.Unavailable, OutcomeNotSent, `client "c1": the session is about to end`)

		p.send(answer(1, ""))
		p.wantIdle("a call is under way")
		p.send(answer(3, ""))
		p.want("the calls are over", &pb.Frame{Done: true})
		p.send(&pb.Frame{GoAway: &pb.GoAway{}})
		p.wantIdle("that is said once")
		for _, c := range []*async{call, another} {
			if err := c.wait("a call"); err != nil {
				t.Errorf("got the error %v, want none", err)
			}
		}

		p.end.Close(nil)
		<-p.session.Done()
		if err := p.session.Err(); err != nil {
			t.Errorf("got the session's error %v, want none", err)
		}
	})
}

func TestServerIsLeftWithoutCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		p.send(&pb.Frame{GoAway: &pb.GoAway{}})
		p.want("there is nothing to wait for", &pb.Frame{Done: true})
	})
}

// A call that has been given up does not hold up a parting, and its cancel is
// not behind the last word.
func TestServerIsLeftAfterACancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		p.stream(ctx, bidiDesc)
		p.want("a call", begin(1, bidiMethod))
		p.send(&pb.Frame{GoAway: &pb.GoAway{}})
		p.wantIdle("it is under way")
		cancel()
		p.want("in this order", cancelled(1), &pb.Frame{Done: true})
	})
}

// The whole of a parting, as the client sees it.
func TestLeave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStall()
		defer s.release()
		p := dialled(t, Config{Services: s.services()})
		p.send(request(1, "x"))
		leave := start(t, func() error { return p.session.Leave(t.Context()) })
		p.want("the server is asked to begin no more", &pb.Frame{GoAway: &pb.GoAway{}})
		p.send(request(3, "y"))
		p.wantIdle("the server may not have known")
		p.send(&pb.Frame{Done: true})
		p.wantIdle("calls are under way")
		if !leave.running() {
			t.Fatalf("got parted with calls under way: %v", leave.err)
		}
		s.release()
		p.wantAll("the calls go on to their ends", answer(1, "done"), answer(3, "done"))
		if err := leave.wait("leaving"); err != nil {
			t.Errorf("got the error %v, want none", err)
		}
		if err := p.transport.closedWith(); err != nil {
			t.Errorf("got the transport closed with %v, want it in order", err)
		}
		if err := p.session.Err(); err != nil {
			t.Errorf("got the session's error %v, want none", err)
		}
	})
}

func TestLeaveWithoutCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialled(t, Config{})
		leave := start(t, func() error { return p.session.Leave(t.Context()) })
		p.want("the server is asked to begin no more", &pb.Frame{GoAway: &pb.GoAway{}})
		p.send(&pb.Frame{Done: true}, &pb.Frame{Done: true})
		if err := leave.wait("leaving"); err != nil {
			t.Errorf("got the error %v, want none", err)
		}
	})
}

// What has been answered leaves before the session does, however slow that is.
func TestLeaveWaitsForTheAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStall()
		defer s.release()
		p := dialled(t, Config{Services: s.services()}, func(h *pb.Hello) { h.CallWindow = 1024 })
		p.transport.inline.Store(0)
		p.send(begin(1, bidiMethod), request(3, "x"), request(5, "x"))
		leave := start(t, func() error { return p.session.Leave(t.Context()) })
		p.want("the server is asked to begin no more", &pb.Frame{GoAway: &pb.GoAway{}})
		p.send(&pb.Frame{Done: true})
		p.transport.shut()
		p.send(cancelled(5)) // its handler may run on: nobody waits for its answer
		s.release()
		if !leave.running() {
			t.Fatal("got parted before the answers have left")
		}
		p.transport.open()
		p.wantAll("the answers", end(1), answer(3, "done"))
		if err := leave.wait("leaving"); err != nil {
			t.Errorf("got the error %v, want none", err)
		}
	})
}

// A call that the server has given up does not hold up a parting, even if its
// handler does not listen.
func TestLeaveAfterACancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStall()
		defer s.release()
		p := dialled(t, Config{Services: s.services()})
		p.send(request(1, "x"))
		leave := start(t, func() error { return p.session.Leave(t.Context()) })
		p.want("the server is asked to begin no more", &pb.Frame{GoAway: &pb.GoAway{}})
		p.send(&pb.Frame{Done: true})
		p.wantIdle("a call is under way")
		p.send(cancelled(1))
		if err := leave.wait("leaving"); err != nil {
			t.Errorf("got the error %v, want none", err)
		}
	})
}

func TestLeaveEndsWithItsContext(t *testing.T) {
	for _, done := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			s := newStall()
			defer s.release()
			p := dialled(t, Config{Services: s.services()})
			p.send(request(1, "x"))
			ctx, cancel := context.WithCancel(t.Context())
			leave := start(t, func() error { return p.session.Leave(ctx) })
			p.want("the server is asked to begin no more", &pb.Frame{GoAway: &pb.GoAway{}})
			if done {
				p.send(&pb.Frame{Done: true})
			}
			cancel()
			if err := leave.wait("leaving"); err != context.Canceled {
				t.Errorf("got the error %v, want %v", err, context.Canceled)
			}
			p.wantIdle("the session goes on")
			s.release()
			p.want("and its calls", answer(1, "done"))
		})
	}
}

func TestLeaveEndsWithTheSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialled(t, Config{})
		leave := start(t, func() error { return p.session.Leave(t.Context()) })
		p.want("the server is asked to begin no more", &pb.Frame{GoAway: &pb.GoAway{}})
		p.send(&pb.Frame{Close: &pb.Status{Code: uint32(codes.Aborted), Message: []byte("taken over")}})
		leave.wantErr("leaving", codes.Aborted, OutcomeAnswered, "taken over")
	})
}

func TestClientIsAskedToMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told []GoAway
		p := dialled(t, Config{Services: testService{}.services(), OnGoAway: func(g GoAway) { told = append(told, g) }})
		p.send(&pb.Frame{GoAway: &pb.GoAway{Reason: "restart", ReconnectAfterMs: 700}})
		if want := (GoAway{Reason: "restart", ReconnectAfter: 700 * time.Millisecond}); len(told) != 1 || told[0] != want {
			t.Errorf("got told %v, want %v once", told, want)
		}
		p.send(request(1, "x"))
		p.want("calls go on", answer(1, "x"))
	})
}

// Reasons are for people, and people do type what is not UTF-8.
func TestGoAwayWithAnyReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		p.session.GoAway(GoAway{Reason: "caf\xe9", ReconnectAfter: -time.Second})
		p.want("it is asked all the same", &pb.Frame{GoAway: &pb.GoAway{Reason: "caf\uFFFD"}})
	})
}

func TestClose(t *testing.T) {
	reason := status.Error(codes.PermissionDenied, "pushtunnel: not you")
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		call, _ := p.invoke(t.Context(), "x")
		p.want("a call", request(1, "x"))
		p.session.Close(reason)
		p.session.Close(nil) // only the first counts
		p.wantClosed(codes.PermissionDenied, "not you")
		call.wantErr("the call under way", codes.Unavailable, OutcomeUnknown, "the session has ended: pushtunnel: not you")
	})
}

func TestCloseInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		call, _ := p.invoke(t.Context(), "x")
		p.want("a call", request(1, "x"))
		p.session.Close(nil)
		p.read()
		if len(p.batches) != 0 {
			t.Errorf("got %v, want nothing: the end is in order", p.batches)
		}
		if err := p.transport.closedWith(); err != nil {
			t.Errorf("got the transport closed with %v, want it in order", err)
		}
		call.wantErr("the call under way", codes.Unavailable, OutcomeUnknown, "the session has ended")
		if err := p.session.Err(); err != nil {
			t.Errorf("got the session's error %v, want none", err)
		}
	})
}

// A close of the peer ends the session with its reason. It is not answered.
func TestPeerCloses(t *testing.T) {
	forBothRoles(t, func(t *testing.T, p *scriptedPeer) {
		p.send(&pb.Frame{Close: &pb.Status{Code: uint32(codes.ResourceExhausted), Message: []byte("too many \xff")}})
		p.wantEnded(codes.ResourceExhausted, "too many")
		p.read()
		if len(p.batches) != 0 {
			t.Errorf("got %v, want nothing", p.batches)
		}
	})
}

// The end of the transport is the end of the session.
func TestTransportEnds(t *testing.T) {
	for name, reason := range map[string]error{"in order": nil, "with an error": status.Error(codes.Internal, "cut")} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := accepted(t, Config{})
				call, _ := p.invoke(t.Context(), "x")
				p.want("a call", request(1, "x"))
				stream := p.stream(t.Context(), bidiDesc)
				p.want("a stream", begin(3, bidiMethod))
				p.end.Close(reason)
				call.wantErr("the call under way", codes.Unavailable, OutcomeUnknown, "the session has ended")
				if err := stream.SendMsg(text("x")); err != io.EOF {
					t.Errorf("sending: got the error %v, want %v", err, io.EOF)
				}
				_, err := receive(stream)
				if status.Code(err) != codes.Unavailable || OutcomeOf(err) != OutcomeUnknown {
					t.Errorf("receiving: got the error %v (%v), want UNAVAILABLE, unknown", err, OutcomeOf(err))
				}
				switch err := p.session.Err(); {
				case reason == nil && err != nil, reason != nil && (err == nil || !strings.Contains(err.Error(), "cut")):
					t.Errorf("got the session's error %v, want %v", err, reason)
				}
			})
		})
	}
}

// A handler does not outlive its session unnoticed: its context ends at once.
func TestHandlersEndWithTheSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sent, received error
		p := dialled(t, Config{Services: testService{stream: func(stream grpc.ServerStream) error {
			_, received = receive(stream)
			sent = stream.SendMsg(text("x"))
			return nil
		}}.services()})
		p.send(begin(1, bidiMethod))
		p.end.Close(nil)
		<-p.session.Done()
		p.read()
		if status.Code(received) != codes.Canceled || status.Code(sent) != codes.Canceled {
			t.Errorf("got the errors %v and %v, want CANCELED for both", received, sent)
		}
	})
}
