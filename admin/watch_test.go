package admin_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"github.com/pushtunnel/pushtunnel/admin"
	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// A snapshot comes in parts, then come changes.
func TestWatchSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, everybody, nil)
		nobody := w.watch(t.Context(), nil)
		nobody.until(t, 0)
		if nobody.parts != 1 || len(nobody.sessions) != 0 || nobody.revision != 0 {
			t.Errorf("got %d parts with %d sessions at revision %d, want one without sessions at 0", nobody.parts, len(nobody.sessions), nobody.revision)
		}
		var first *link
		for i := range 1200 {
			if l := w.named(fmt.Sprint(i)); first == nil {
				first = l
			}
		}
		watch := w.watch(t.Context(), nil)
		watch.until(t, 1200)
		if watch.parts != 3 || watch.snapshots != 1 || watch.changes != 0 {
			t.Errorf("got %d parts of %d snapshots and %d changes, want 3 of 1 and none", watch.parts, watch.snapshots, watch.changes)
		}
		wantSame(t, "the snapshot", watch.ids(), w.ids())
		first.Close(nil)
		w.named("new")
		watch.until(t, 1202)
		nobody.until(t, 1202)
		if watch.changes != 2 || watch.snapshots != 1 {
			t.Errorf("got %d changes and %d snapshots, want 2 and 1", watch.changes, watch.snapshots)
		}
		wantSame(t, "after changes", watch.ids(), w.ids())
		wantSame(t, "from the beginning on", nobody.ids(), w.ids())
	})
}

// While sessions come and go on many goroutines, watches have no gaps, and those with
// a filter have what passes.
func TestWatchesWhileSessionsComeAndGo(t *testing.T) {
	for _, backlog := range []int{16, 1 << 20} {
		t.Run(fmt.Sprint(backlog), func(t *testing.T) {
			w := newWorld(t, everybody, nil, server.WithWatchBacklog(backlog))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var watches, sessions sync.WaitGroup
			all := make([]*watch, 4)
			for i := range all {
				if all[i] = w.watch(ctx, nil); i%2 == 1 {
					all[i] = w.watch(ctx, &pb.Filter{Labels: "even=true"})
				}
				watches.Go(func() {
					for all[i].err == nil && !all[i].sees("the end") {
						all[i].err = all[i].read()
					}
				})
			}
			for g := range 4 {
				sessions.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(g), 1)) //nolint:gosec // a test
					var mine []*link
					for i := range 300 {
						mine = append(mine, w.enter(tunnel.Peer{Name: fmt.Sprint(g, i), Labels: map[string]string{"even": fmt.Sprint(i%2 == 0)}}))
						if rnd.IntN(3) > 0 {
							j := rnd.IntN(len(mine))
							mine[j].Close(nil)
							mine = append(mine[:j], mine[j+1:]...)
						}
					}
				})
			}
			sessions.Wait()
			w.enter(tunnel.Peer{Name: "the end", Labels: map[string]string{"even": "true"}})
			watches.Wait()
			var even []string
			for s := range server.Select(server.MustSelector("even=true"), w.push.All()) {
				even = append(even, s.ID())
			}
			for i, watch := range all {
				want := w.ids()
				if i%2 == 1 {
					want = even
				}
				if watch.err != nil {
					t.Fatal(watch.err)
				}
				wantSame(t, fmt.Sprintf("watch %d", i), watch.ids(), want)
				if backlog > 2400 && watch.snapshots != 1 {
					t.Errorf("watch %d: got %d snapshots, want 1", i, watch.snapshots)
				}
			}
		})
	}
}

// A caller that does not read holds nobody up. It has a whole picture again when it
// reads, by a new snapshot.
func TestACallerThatDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, everybody, nil, server.WithWatchBacklog(8))
		slow, quick := w.watch(t.Context(), nil), w.watch(t.Context(), nil)
		slow.until(t, 0)
		quick.until(t, 0)
		labels := map[string]string{"long": strings.Repeat("x", tunnel.MaxLabelValue)}
		for i := range 2000 {
			l := w.enter(tunnel.Peer{Name: fmt.Sprint(i), Labels: labels})
			if i%2 == 0 {
				l.Close(nil)
			}
			synctest.Wait() // until nothing moves: quick is not behind, slow's stream is full
			quick.until(t, uint64(i+1+(i+2)/2))
		}
		slow.until(t, 3000)
		if slow.snapshots != 2 || slow.changes < 100 || slow.changes > 2000 {
			t.Errorf("got %d snapshots and %d changes, want 2, and the changes that the stream had room for", slow.snapshots, slow.changes)
		}
		if quick.snapshots != 1 || quick.changes != 3000 {
			t.Errorf("who reads got %d snapshots and %d changes, want 1 and 3000", quick.snapshots, quick.changes)
		}
		wantSame(t, "the slow one's picture", slow.ids(), w.ids())
		wantSame(t, "the quick one's picture", quick.ids(), w.ids())
	})
}

func TestWatchersAreLimited(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, everybody, []admin.Option{admin.WithMaxWatchers(2)})
		ctx, cancel := context.WithCancel(t.Context())
		w.watch(ctx, nil).until(t, 0)
		w.watch(t.Context(), nil).until(t, 0)
		for range 3 {
			err := w.watch(t.Context(), nil).read()
			wantCode(t, err, codes.ResourceExhausted)
			if l, ok := tunnel.LimitOf(err); l != admin.LimitWatchers || !ok {
				t.Errorf("got the limit %q, %v, want %q", l, ok, admin.LimitWatchers)
			}
		}
		wantCode(t, second(w.ListSessions(t.Context(), &pb.ListSessionsRequest{})), codes.OK)
		cancel()
		synctest.Wait()
		w.watch(t.Context(), nil).until(t, 0)

		free := newWorld(t, everybody, []admin.Option{admin.WithMaxWatchers(0)})
		for range 80 {
			free.watch(t.Context(), nil).until(t, 0)
		}
	})
}

// Watches end with the server, after all who have left in order, and then the gRPC
// server can stop.
func TestWatchesEndWithTheServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, everybody, nil)
		w.named("a")
		w.named("b")
		watch := w.watch(t.Context(), nil)
		watch.until(t, 2)
		if err := w.push.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.grpc.GracefulStop()
		watch.until(t, 4)
		if len(watch.sessions) != 0 {
			t.Errorf("got %d sessions, want none", len(watch.sessions))
		}
		wantCode(t, watch.read(), codes.Unavailable)
	})
}
