package server_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// askAll makes so many calls, one after the other, and returns who answered.
func askAll(t *testing.T, push *tunneltest.Server, name string, n int) string {
	t.Helper()
	var got strings.Builder
	for range n {
		label, err := ask(t.Context(), push.Client(name))
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString(label)
	}
	return got.String()
}

func TestRoundRobinCountsEachNameForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		for _, label := range []string{"a", "b", "c"} {
			push.Connect(t, "c1", answers(label))
		}
		push.Connect(t, "c2", answers("x"))
		push.Connect(t, "c2", answers("y"))
		got := askAll(t, push, "c1", 1) + askAll(t, push, "c2", 3) + askAll(t, push, "c1", 3)
		if want := "axyxbca"; got != want {
			t.Errorf("got answers of %q, want %q", got, want)
		}
		push.Connect(t, "c1", answers("d"))
		if got, want := askAll(t, push, "c1", 4), "abcd"; got != want {
			t.Errorf("with a fourth session: got answers of %q, want %q", got, want)
		}
	})
}

func TestLeastInFlightTakesTheIdlest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t, server.WithPicker(server.LeastInFlight))
		began := make(chan struct{}, 10)
		var sessions []*server.Session
		for range 3 {
			push.Connect(t, "c1", hangs(began))
		}
		for s := range push.Sessions("c1") {
			sessions = append(sessions, s)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		call := func() {
			t.Helper()
			go ask(ctx, push.Client("c1"))
			<-began
		}
		inFlight := func(want ...int) {
			t.Helper()
			var got []int
			for _, s := range sessions {
				got = append(got, s.InFlight())
			}
			wantSame(t, "calls under way", got, want)
		}
		// Among equals it goes round, and always it evens out.
		call()
		inFlight(1, 0, 0)
		call()
		inFlight(1, 1, 0)
		call()
		inFlight(1, 1, 1)
		for range 2 {
			go ask(ctx, sessions[0])
			<-began
		}
		inFlight(3, 1, 1)
		for range 4 {
			call()
		}
		inFlight(3, 3, 3)
		cancel()
		synctest.Wait()
		inFlight(0, 0, 0)
	})
}

func TestNewestFollowsTheNewestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t, server.WithPicker(server.Newest))
		push.Connect(t, "c1", answers("a"))
		b := push.Connect(t, "c1", answers("b"))
		if got, want := askAll(t, push, "c1", 3), "bbb"; got != want {
			t.Errorf("got answers of %q, want %q", got, want)
		}
		if err := b.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := askAll(t, push, "c1", 2), "aa"; got != want {
			t.Errorf("when it has gone: got answers of %q, want %q", got, want)
		}
	})
}

func TestStickySendsAKeyToOneSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t, server.WithPicker(server.Sticky("user")))
		for _, label := range []string{"a", "b", "c"} {
			push.Connect(t, "c1", answers(label))
		}
		for _, user := range []string{"alice", "bob", "carol"} {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "user", user)
			first, err := ask(ctx, push.Client("c1"))
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				if got, err := ask(ctx, push.Client("c1")); got != first || err != nil {
					t.Fatalf("user %s: got an answer of %q, %v, want one of %q", user, got, err, first)
				}
			}
		}
	})
}

func TestAnOwnPickerSeesTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var got []server.Pick
		push := tunneltest.NewServer(t, server.WithPicker(func(p server.Pick) *server.Session {
			got = append(got, p)
			return p.Sessions[1]
		}))
		push.Connect(t, "c1", answers("a"))
		push.Connect(t, "c1", answers("b"))
		ctx := context.WithValue(t.Context(), key{}, "x")
		for range 2 {
			if label, err := ask(ctx, push.Client("c1")); label != "b" || err != nil {
				t.Fatalf("got an answer of %q, %v, want one of %q", label, err, "b")
			}
		}
		if len(got) != 2 {
			t.Fatalf("got %d picks, want 2", len(got))
		}
		for i, p := range got {
			if p.Name != "c1" || p.Method != "/grpc.testing.TestService/UnaryCall" || p.Sequence != uint64(i) || len(p.Sessions) != 2 || p.Context.Value(key{}) != "x" {
				t.Errorf("pick %d: got %+v, want the call's name, method, sequence number, context and two sessions", i, p)
			}
		}
	})
}

func TestAPickerMayChooseNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t, server.WithPicker(func(server.Pick) *server.Session { return nil }))
		push.Connect(t, "c1", answers("a"))
		_, err := ask(t.Context(), push.Client("c1"))
		wantNotSent(t, err, codes.Unavailable, `pushtunnel: the picker chose no session of client "c1"`)
	})
}
