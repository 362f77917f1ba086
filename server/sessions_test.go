package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

func TestSessionsAreListedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		wantSame(t, "nobody", names(push), []string{})
		// All in the same nanosecond of the bubble: the order is that of arrival.
		order := strings.Fields("b a c b a e d c f b")
		for _, name := range order {
			push.Connect(t, name, nil)
		}
		wantSame(t, "all", names(push), order)
		wantSame(t, "two names", names(push, "c", "b"), []string{"c", "c", "b", "b", "b"})
		wantSame(t, "a name that is not there", names(push, "x"), []string{})
		wantSame(t, "and one that is", names(push, "x", "a"), []string{"a", "a"})
	})
}

func TestSessionsAreASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		a := push.Connect(t, "a", nil)
		push.Connect(t, "b", nil)
		all := push.Sessions()
		var got []string
		for s := range all {
			if s.Name() == "a" {
				push.Connect(t, "c", nil)
				if err := a.Shutdown(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			got = append(got, s.Name())
		}
		wantSame(t, "while sessions come and go", got, []string{"a", "b"})
		got = nil
		for s := range all {
			got = append(got, s.Name())
		}
		wantSame(t, "the next iteration", got, []string{"b", "c"})
		for range all {
			break // a loop may be left
		}
	})
}

func TestASessionIsFoundByItsID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		c := run(t, push.Dial(t), "c1", nil)
		seen := <-c.connected
		s := only(t, push, "c1")
		if got := s.ID(); got != seen.Session || len(got) < 20 {
			t.Errorf("ID: got %q, want that of the client, %q, of 128 bits or more", got, seen.Session)
		}
		if got, ok := push.Session(s.ID()); got != s || !ok {
			t.Errorf("Session: got %v, %v, want %v, true", got, ok, s)
		}
		if got := s.Peer(); got.Name != "c1" || got.Session != s.ID() || got.Protocol != "grpc" || got.Addr == nil {
			t.Errorf("Peer: got %+v, want the client's name, session, protocol and address", got)
		}
		if got := s.Err(); got != nil {
			t.Errorf("Err of a session that goes on: got %v, want nil", got)
		}
		if err := c.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-s.Done()
		synctest.Wait()
		if got, ok := push.Session(s.ID()); got != nil || ok {
			t.Errorf("Session of one that has gone: got %v, %v, want nil, false", got, ok)
		}
		if got, ok := push.Session(""); got != nil || ok {
			t.Errorf("Session without id: got %v, %v, want nil, false", got, ok)
		}
		if got := s.Err(); got != nil {
			t.Errorf("Err of a session that ended in order: got %v, want nil", got)
		}
	})
}

func TestSessionIDsDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		for i := range 20 {
			push.Connect(t, fmt.Sprint(i), nil)
		}
		var ids []string
		for s := range push.Sessions() {
			ids = append(ids, s.ID())
		}
		slices.Sort(ids)
		if got := len(slices.Compact(ids)); got != 20 {
			t.Errorf("got %d different ids of 20 sessions, want 20", got)
		}
	})
}

// Close ends a session, and its client may come back.
func TestASessionIsClosedWithAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reasons []error
		push := tunneltest.NewServer(t, server.WithHooks(server.Hooks{
			Disconnected: func(_ *server.Session, reason error) { reasons = append(reasons, reason) },
		}))
		c := run(t, push.Dial(t), "c1", answers("a"))
		first := <-c.connected
		only(t, push, "c1").Close("go away")
		second := <-c.connected
		if first.Session == second.Session {
			t.Errorf("got the session %q twice, want another", first.Session)
		}
		wantAnswer(t, push.Client("c1"), "a")
		synctest.Wait()
		if len(reasons) != 1 {
			t.Fatalf("got %d sessions that ended, want 1", len(reasons))
		}
		wantCode(t, reasons[0], codes.Unavailable)
		if got, want := reasons[0].Error(), "rpc error: code = Unavailable desc = pushtunnel: go away"; got != want {
			t.Errorf("got the reason %q, want %q", got, want)
		}
	})
}
