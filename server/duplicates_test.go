package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

func TestDuplicatesAreAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		a := run(t, push.Dial(t), "c1", answers("a"))
		<-a.connected
		b := run(t, push.Dial(t), "c1", answers("b"))
		<-b.connected
		if got, want := askAll(t, push, "c1", 4), "abab"; got != want {
			t.Errorf("got answers of %q, want %q", got, want)
		}
		a.wantServing(t)
		b.wantServing(t)
	})
}

func TestTheNewestReplacesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t, server.WithDuplicates(server.ReplaceDuplicates))
		began := make(chan struct{}, 1)
		old := run(t, push.Dial(t), "c1", hangs(began))
		<-old.connected
		other := run(t, push.Dial(t), "c2", answers("other"))
		<-other.connected
		failed := make(chan error, 1)
		go func() {
			_, err := ask(t.Context(), push.Client("c1"))
			failed <- err
		}()
		<-began

		newest := run(t, push.Dial(t), "c1", answers("newest"))
		<-newest.connected
		wantAnswer(t, push.Client("c1"), "newest")
		old.wantStopped(t, codes.Aborted)
		wantCode(t, <-failed, codes.Unavailable)
		wantSame(t, "sessions", names(push), []string{"c2", "c1"})

		time.Sleep(time.Hour) // of the bubble: nobody takes turns at taking over
		newest.wantServing(t)
		other.wantServing(t)
		wantAnswer(t, push.Client("c1"), "newest")
	})
}

func TestTheNewestIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t, server.WithDuplicates(server.RefuseDuplicates))
		first := run(t, push.Dial(t), "c1", answers("first"))
		<-first.connected
		second := run(t, push.Dial(t), "c1", answers("second"))
		<-second.stopped
		second.wantStopped(t, codes.AlreadyExists)
		wantAnswer(t, push.Client("c1"), "first")
		wantSame(t, "sessions", names(push), []string{"c1"})

		if err := first.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		third := run(t, push.Dial(t), "c1", answers("third"))
		<-third.connected
		wantAnswer(t, push.Client("c1"), "third")
	})
}

// A client that shows the id of its session is never in its own way, though the
// server has not noticed that the session is dead.
func TestAClientThatComesBackIsNotInItsOwnWay(t *testing.T) {
	policies := map[string]server.Duplicates{
		"allow": server.AllowDuplicates, "replace": server.ReplaceDuplicates, "refuse": server.RefuseDuplicates,
	}
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				push := tunneltest.NewServer(t, server.WithDuplicates(policy))
				first := dialRaw(t, push.Dial(t), "clientname", "c1")
				id := first.hello(&pb.Hello{}).GetSessionId()
				second := dialRaw(t, push.Dial(t), "clientname", "c1")
				next := second.hello(&pb.Hello{PreviousSession: id, PreviousLost: true}).GetSessionId()
				if got := only(t, push, "c1").ID(); got != next {
					t.Errorf("got session %q of the name, want the new one, %q", got, next)
				}
				first.wantEnd(codes.Aborted)
			})
		})
		t.Run(name+", though an answer to an attempt was lost", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				push := tunneltest.NewServer(t, server.WithDuplicates(policy))
				first := dialRaw(t, push.Dial(t), "clientname", "c1")
				id := first.hello(&pb.Hello{}).GetSessionId()
				// The client never sees the server's hello on this one, so it
				// knows of no other session than the first.
				unseen := dialRaw(t, push.Dial(t), "clientname", "c1")
				unseen.hello(&pb.Hello{PreviousSession: id, PreviousLost: true})
				third := dialRaw(t, push.Dial(t), "clientname", "c1")
				next := third.hello(&pb.Hello{PreviousSession: id, PreviousLost: true}).GetSessionId()
				if got := only(t, push, "c1").ID(); got != next {
					t.Errorf("got session %q of the name, want the new one, %q", got, next)
				}
				unseen.wantEnd(codes.Aborted)
			})
		})
		t.Run(name+", before it parts from the previous session", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				push := tunneltest.NewServer(t, server.WithDuplicates(policy))
				first := dialRaw(t, push.Dial(t), "clientname", "c1")
				id := first.hello(&pb.Hello{}).GetSessionId()
				second := dialRaw(t, push.Dial(t), "clientname", "c1")
				next := second.hello(&pb.Hello{PreviousSession: id}).GetSessionId()
				if got := only(t, push, "c1").ID(); got != next {
					t.Errorf("got session %q of the name, want the new one, %q", got, next)
				}
				if _, ok := push.Session(id); !ok {
					t.Error("the session before: got none, want it to go on until the client parts from it")
				}
			})
		})
	}
}

// An id that somebody has made up, or that is of another name, opens no door.
func TestAWrongPreviousSessionHelpsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t, server.WithDuplicates(server.RefuseDuplicates))
		ids := map[string]string{}
		for _, name := range []string{"c1", "c2"} {
			ids[name] = dialRaw(t, push.Dial(t), "clientname", name).hello(&pb.Hello{}).GetSessionId()
		}
		for why, id := range map[string]string{"none": "", "made up": "x", "of another name": ids["c2"]} {
			r := dialRaw(t, push.Dial(t), "clientname", "c1")
			r.send(&pb.Frame{Hello: &pb.Hello{Version: 1, CallWindow: 64 << 10, PreviousSession: id, PreviousLost: true}})
			wantCode(t, r.end(), codes.AlreadyExists)
			for name, id := range ids {
				if got := only(t, push, name).ID(); got != id {
					t.Errorf("%s: got session %q of %q, want %q as before", why, got, name, id)
				}
			}
		}
	})
}
