package server

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// sessionsOf returns sessions with these ids. They take no calls.
func sessionsOf(ids ...string) []*Session {
	var sessions []*Session
	for _, id := range ids {
		sessions = append(sessions, &Session{peer: tunnel.Peer{Name: "c1", Session: id}})
	}
	return sessions
}

// picks returns the ids that a picker chooses for calls of these sequence
// numbers.
func picks(p Picker, sessions []*Session, sequence ...uint64) string {
	var got strings.Builder
	for _, n := range sequence {
		got.WriteString(p(Pick{Context: context.Background(), Name: "c1", Sessions: sessions, Sequence: n}).ID())
	}
	return got.String()
}

func TestRoundRobinTakesTurns(t *testing.T) {
	for _, test := range []struct {
		why      string
		sessions []*Session
		sequence []uint64
		want     string
	}{
		{"one session", sessionsOf("a"), []uint64{0, 1, 2}, "aaa"},
		{"three sessions", sessionsOf("a", "b", "c"), []uint64{0, 1, 2, 3, 4}, "abcab"},
		{"after very many calls", sessionsOf("a", "b"), []uint64{math.MaxInt32, math.MaxInt32 + 1, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64}, "babab"},
	} {
		if got := picks(RoundRobin, test.sessions, test.sequence...); got != test.want {
			t.Errorf("%s: got %q, want %q", test.why, got, test.want)
		}
	}
}

func TestNewestTakesTheLast(t *testing.T) {
	if got := picks(Newest, sessionsOf("a", "b", "c"), 0, 1, 2); got != "ccc" {
		t.Errorf("got %q, want %q", got, "ccc")
	}
}

// owners returns the session of each of many keys.
func owners(sessions []*Session) []string {
	p := Sticky("user")
	got := make([]string, 10_000)
	for i := range got {
		ctx := metadata.AppendToOutgoingContext(context.Background(), "user", fmt.Sprintf("user-%d", i), "user", "another")
		got[i] = p(Pick{Context: ctx, Name: "c1", Sessions: sessions, Sequence: uint64(i)}).ID()
	}
	return got
}

func TestStickyKeepsAKeyOnItsSession(t *testing.T) {
	five := sessionsOf("a", "b", "c", "d", "e")
	before := owners(five)
	share := map[string]int{}
	for _, id := range before {
		share[id]++
	}
	for id, n := range share {
		if n < 1_800 || n > 2_200 {
			t.Errorf("got %d of 10,000 keys on session %q, want about 2,000", n, id)
		}
	}

	t.Run("whatever the order of the sessions", func(t *testing.T) {
		for i, id := range owners([]*Session{five[3], five[1], five[4], five[0], five[2]}) {
			if id != before[i] {
				t.Fatalf("key %d: got session %q, want %q", i, id, before[i])
			}
		}
	})
	t.Run("when another session goes", func(t *testing.T) {
		for i, id := range owners(without(five, five[2])) {
			if before[i] != "c" && id != before[i] {
				t.Fatalf("key %d: got session %q, want %q", i, id, before[i])
			}
		}
	})
	t.Run("when a session comes that does not get it", func(t *testing.T) {
		moved := 0
		for i, id := range owners(append(five, sessionsOf("f")...)) {
			switch id {
			case "f":
				moved++
			case before[i]:
			default:
				t.Fatalf("key %d: got session %q, want %q or the new one", i, id, before[i])
			}
		}
		if want := 10_000 / 6; moved < want-200 || moved > want+200 {
			t.Errorf("got %d of 10,000 keys on the sixth session, want about %d", moved, want)
		}
	})
}

func TestStickyGoesRoundWithoutAKey(t *testing.T) {
	if got := picks(Sticky("user"), sessionsOf("a", "b"), 0, 1, 2, 3); got != "abab" {
		t.Errorf("got %q, want %q", got, "abab")
	}
}

func TestStickyByAsksForTheKey(t *testing.T) {
	p := StickyBy(func(p Pick) (string, bool) { return p.Method, p.Method != "" })
	sessions := sessionsOf("a", "b", "c")
	moved := map[string]bool{}
	for i := range 100 {
		method := fmt.Sprintf("/s/m%d", i)
		first := p(Pick{Method: method, Sessions: sessions, Sequence: 0})
		if again := p(Pick{Method: method, Sessions: sessions, Sequence: 1}); again != first {
			t.Fatalf("method %s: got session %q, then %q, want the same", method, first.ID(), again.ID())
		}
		moved[first.ID()] = true
	}
	if len(moved) != 3 {
		t.Errorf("got %d sessions for 100 methods, want all 3", len(moved))
	}
	if got := picks(p, sessions, 0, 1, 2); got != "abc" {
		t.Errorf("without a key: got %q, want %q", got, "abc")
	}
}
