package server

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// newRegistry returns a registry without a server.
func newRegistry(backlog int, d Duplicates) (*registry, chan struct{}) {
	o := defaults()
	o.backlog, o.duplicates = backlog, d
	closed := make(chan struct{})
	r := new(registry)
	r.init(&o, closed)
	return r, closed
}

// newSession returns a session without a link.
func newSession(name, id string) *Session {
	return &Session{peer: tunnel.Peer{Name: name, Session: id}}
}

func mustAdd(t testing.TB, r *registry, s *Session) *Session {
	t.Helper()
	if _, err := r.add(s, "", false); err != nil {
		t.Fatal(err)
	}
	return s
}

// picture is what a watcher makes of the changes.
type picture struct {
	revision uint64
	sessions []*Session
}

// apply applies a change, and says what is wrong with it.
func (p *picture) apply(c Change) error {
	switch c.Kind {
	case Snapshot:
		if c.Session != nil {
			return fmt.Errorf("a snapshot with a session of its own")
		}
		p.revision, p.sessions = c.Revision, slices.Clone(c.Sessions)
		return nil
	case SessionCame:
		if slices.Contains(p.sessions, c.Session) {
			return fmt.Errorf("session %q came twice", c.Session.ID())
		}
		if c.Session.Revision() != c.Revision {
			return fmt.Errorf("session %q came with revision %d and says %d", c.Session.ID(), c.Revision, c.Session.Revision())
		}
		p.sessions = append(p.sessions, c.Session)
	case SessionLeft:
		i := slices.Index(p.sessions, c.Session)
		if i < 0 {
			return fmt.Errorf("session %q left, which was not there", c.Session.ID())
		}
		p.sessions = slices.Delete(p.sessions, i, i+1)
	}
	if c.Revision != p.revision+1 {
		return fmt.Errorf("revision %d after %d", c.Revision, p.revision)
	}
	if c.Sessions != nil {
		return fmt.Errorf("a change with a snapshot's sessions")
	}
	p.revision++
	return nil
}

func everywhere(r *registry) []*Session {
	all, _ := r.everywhere()
	return all
}

func ids(sessions []*Session) []string {
	got := make([]string, len(sessions))
	for i, s := range sessions {
		got[i] = s.ID()
	}
	return got
}

// watcher is a watch that the test reads step by step.
type watcher struct {
	picture
	next      func() (Change, bool)
	stop      func()
	snapshots int
}

func changes(r *registry) iter.Seq[Change] {
	return func(yield func(Change) bool) { r.watch(context.Background(), yield) }
}

func watch(r *registry) *watcher {
	w := new(watcher)
	w.next, w.stop = iter.Pull(changes(r))
	return w
}

// Sessions come, retire and go, and watchers read at speeds of their own. What each
// has made of the changes is what the registry had at that revision.
func TestWatchersHaveTheWholePicture(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		backlog := rapid.IntRange(1, 40).Draw(t, "backlog")
		duplicates := rapid.SampledFrom([]Duplicates{AllowDuplicates, ReplaceDuplicates, RefuseDuplicates}).Draw(t, "duplicates")
		r, _ := newRegistry(backlog, duplicates)
		var known []*Session // all there have ever been
		var watchers []*watcher
		history := map[uint64][]string{0: {}} // the registry at each revision that could be seen
		read := func(w *watcher) {
			before := w.revision
			c, ok := w.next()
			if !ok {
				t.Fatalf("the watch has ended")
			}
			if err := w.apply(c); err != nil {
				t.Fatal(err)
			}
			if c.Kind == Snapshot {
				if w.snapshots++; w.snapshots > 1 && r.revision-before <= uint64(backlog) {
					t.Fatalf("got a new snapshot at revision %d, with %d changes missed, want none with up to %d", r.revision, r.revision-before, backlog)
				}
			}
			if want, seen := history[w.revision]; seen && !slices.Equal(ids(w.sessions), want) {
				t.Fatalf("revision %d: got %v, want %v", w.revision, ids(w.sessions), want)
			}
		}
		behind := func(w *watcher) bool { return w.snapshots == 0 || w.revision < r.revision }
		some := func() *Session {
			if len(known) == 0 {
				return newSession("a", "unknown")
			}
			return rapid.SampledFrom(known).Draw(t, "session")
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				s := newSession(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "name"), fmt.Sprint(len(known)))
				known = append(known, s)
				previous := ""
				if rapid.Bool().Draw(t, "back") {
					previous = some().ID()
				}
				_, _ = r.add(s, previous, rapid.Bool().Draw(t, "lost")) // it may be refused
			},
			"retire": func(*rapid.T) { r.retire(some()) },
			"remove": func(*rapid.T) { r.remove(some()) },
			"watch": func(t *rapid.T) {
				if len(watchers) < 4 {
					watchers = append(watchers, watch(r))
					read(watchers[len(watchers)-1])
				}
			},
			"read": func(t *rapid.T) {
				if len(watchers) == 0 {
					t.Skip()
				}
				w := rapid.SampledFrom(watchers).Draw(t, "watcher")
				for range rapid.IntRange(1, 40).Draw(t, "changes") {
					if behind(w) {
						read(w)
					}
				}
			},
			"stop": func(t *rapid.T) {
				if len(watchers) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(watchers)-1).Draw(t, "watcher")
				watchers[i].stop()
				watchers = slices.Delete(watchers, i, i+1)
			},
			"": func(t *rapid.T) {
				all := everywhere(r)
				history[r.revision] = ids(all)
				if r.watchers != len(watchers) || (r.recent != nil) != (len(watchers) > 0) {
					t.Fatalf("got %d watchers and the recent changes %v, want %d watchers", r.watchers, r.recent, len(watchers))
				}
				after := rapid.Uint64Range(0, r.revision+1).Draw(t, "after")
				want := slices.DeleteFunc(all, func(s *Session) bool { return s.Revision() <= after })
				got := make([]*Session, len(want)+1)
				if n := r.after(after, got); !slices.Equal(got[:n], want) {
					t.Fatalf("after %d: got %v, want %v", after, ids(got[:n]), ids(want))
				}
			},
		})
		for _, w := range watchers {
			for behind(w) {
				read(w)
			}
			if got, want := ids(w.sessions), ids(everywhere(r)); !slices.Equal(got, want) {
				t.Fatalf("at the end: got %v, want %v", got, want)
			}
			w.stop()
		}
		if r.watchers != 0 || r.recent != nil {
			t.Fatalf("got %d watchers and recent changes %v, want neither", r.watchers, r.recent)
		}
	})
}

// A watcher that has fallen behind by the backlog gets all changes; by one more, a
// new snapshot, and changes again after that.
func TestAWatcherThatFellBehindGetsASnapshot(t *testing.T) {
	const backlog = 5
	for _, missed := range []int{1, backlog, backlog + 1, 100} {
		t.Run(fmt.Sprint(missed), func(t *testing.T) {
			r, _ := newRegistry(backlog, AllowDuplicates)
			mustAdd(t, r, newSession("first", "first"))
			w := watch(r)
			defer w.stop()
			read := func(want ChangeKind) {
				t.Helper()
				c, ok := w.next()
				if err := w.apply(c); err != nil || !ok || c.Kind != want {
					t.Fatalf("got %v, %v, %v, want a change of kind %v", c.Kind, ok, err, want)
				}
			}
			read(Snapshot)
			for i := range missed {
				mustAdd(t, r, newSession("more", fmt.Sprint(i)))
			}
			if missed > backlog {
				read(Snapshot)
			} else {
				for range missed {
					read(SessionCame)
				}
			}
			if got, want := ids(w.sessions), ids(everywhere(r)); !slices.Equal(got, want) || w.revision != r.revision {
				t.Errorf("got %v at %d, want %v at %d", got, w.revision, want, r.revision)
			}
			r.remove(everywhere(r)[0])
			read(SessionLeft)
		})
	}
}

// Whatever happens at the same time, no watcher sees a gap, and all end with the
// same picture. Those with a short backlog fall behind.
func TestWatchersAndSessionsAtTheSameTime(t *testing.T) {
	for _, backlog := range []int{4, defaultBacklog} {
		t.Run(fmt.Sprint(backlog), func(t *testing.T) {
			r, _ := newRegistry(backlog, ReplaceDuplicates)
			const last = "the last one"
			var watchers, sessions sync.WaitGroup
			pictures := make([]picture, 16)
			for i := range pictures {
				watchers.Go(func() {
					for c := range changes(r) {
						if err := pictures[i].apply(c); err != nil {
							t.Error(err)
							return
						}
						if slices.ContainsFunc(pictures[i].sessions, func(s *Session) bool { return s.ID() == last }) {
							return
						}
					}
					t.Error("the watch has ended")
				})
			}
			for g := range 8 {
				sessions.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(g), 1)) //nolint:gosec // a test
					var mine []*Session
					for i := range 300 {
						s := newSession(fmt.Sprint(rnd.IntN(50)), fmt.Sprint(g, i))
						previous := ""
						if len(mine) > 0 && rnd.IntN(2) == 0 {
							previous = mine[rnd.IntN(len(mine))].ID()
						}
						if _, err := r.add(s, previous, true); err != nil {
							t.Error(err)
						}
						mine = append(mine, s)
						r.retire(mine[rnd.IntN(len(mine))])
						if rnd.IntN(4) > 0 {
							r.remove(mine[rnd.IntN(len(mine))])
						}
					}
				})
			}
			sessions.Wait()
			mustAdd(t, r, newSession(last, last))
			watchers.Wait()
			want := everywhere(r)
			for i, p := range pictures {
				if p.revision != r.revision || !slices.Equal(p.sessions, want) {
					t.Errorf("watcher %d: got %d sessions at revision %d, want %d at %d", i, len(p.sessions), p.revision, len(want), r.revision)
				}
			}
		})
	}
}
