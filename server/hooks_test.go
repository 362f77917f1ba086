package server_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

func TestHooksOfASessionAreCalledInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		hooks := func(label string) server.Option {
			return server.WithHooks(server.Hooks{
				Connected: func(s *server.Session) { got = append(got, label+" connected "+s.Name()) },
				Disconnected: func(s *server.Session, reason error) {
					got = append(got, label+" disconnected "+s.Name()+" "+codeOf(reason).String())
				},
			})
		}
		push := tunneltest.NewServer(t, hooks("1"), server.WithHooks(server.Hooks{}), hooks("2"))
		c := push.Connect(t, "c1", nil)
		synctest.Wait()
		if err := c.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantSame(t, "hooks", got, []string{
			"1 connected c1", "2 connected c1", "1 disconnected c1 OK", "2 disconnected c1 OK",
		})
	})
}

func TestConnectedMayCallTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan string, 1)
		push := tunneltest.NewServer(t, server.WithHooks(server.Hooks{Connected: func(s *server.Session) {
			label, err := ask(t.Context(), s)
			if err != nil {
				t.Error(err)
			}
			got <- label
		}}))
		push.Connect(t, "c1", answers("hello"))
		if got := <-got; got != "hello" {
			t.Errorf("got an answer of %q, want %q", got, "hello")
		}
	})
}

// When Disconnected is called the session is not to be found any more.
func TestDisconnectedFindsTheSessionGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var push *tunneltest.Server
		gone := make(chan bool, 100)
		push = tunneltest.NewServer(t, server.WithHooks(server.Hooks{Disconnected: func(s *server.Session, _ error) {
			_, found := push.Session(s.ID())
			gone <- !found && len(names(push, s.Name())) == 0
		}}))
		for range cap(gone) {
			c := run(t, push.Dial(t), "c1", nil)
			<-c.connected
			c.cancel()
			if !<-gone {
				t.Fatal("got a session in the hook that tells its end, want none")
			}
		}
	})
}

// hookLog notes how sessions end.
type hookLog struct{ reasons chan error }

func (l *hookLog) option() server.Option {
	l.reasons = make(chan error, 10)
	return server.WithHooks(server.Hooks{Disconnected: func(_ *server.Session, reason error) { l.reasons <- reason }})
}

func TestDisconnectedTellsTheReason(t *testing.T) {
	for _, test := range []struct {
		why  string
		end  func(*testing.T, *tunneltest.Server, *running)
		code codes.Code
		text string
	}{
		{"the client's context ends", func(_ *testing.T, _ *tunneltest.Server, c *running) { c.cancel() }, codes.OK, ""},
		{"the client shuts down", func(t *testing.T, _ *tunneltest.Server, c *running) {
			if err := c.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}, codes.OK, ""},
		{"the session is drained", func(t *testing.T, push *tunneltest.Server, _ *running) { only(t, push, "c1").Drain("move") }, codes.OK, ""},
		{"the session is closed", func(t *testing.T, push *tunneltest.Server, _ *running) { only(t, push, "c1").Close("enough") }, codes.Unavailable, "pushtunnel: enough"},
		{"the server is closed", func(t *testing.T, push *tunneltest.Server, _ *running) {
			if err := push.Close(); err != nil {
				t.Error(err)
			}
		}, codes.Unavailable, "pushtunnel: the server is closed"},
	} {
		t.Run(test.why, func(t *testing.T) {
			// Some times: an end in order may not depend on who is first.
			for range 20 {
				synctest.Test(t, func(t *testing.T) {
					var log hookLog
					push := tunneltest.NewServer(t, log.option())
					c := run(t, push.Dial(t), "c1", nil)
					<-c.connected
					test.end(t, push, c)
					reason := <-log.reasons
					wantCode(t, reason, test.code)
					if reason != nil && !strings.HasSuffix(reason.Error(), test.text) {
						t.Fatalf("got %q, want %q", reason, test.text)
					}
				})
			}
		})
	}
}

// A hook that takes its time does not keep a dead session among the living.
func TestASessionThatEndsInAHookTakesNoMoreCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocked, release := make(chan struct{}), make(chan struct{})
		var order []string
		push := tunneltest.NewServer(t, server.WithHooks(server.Hooks{
			Connected: func(*server.Session) {
				close(blocked)
				<-release
				order = append(order, "connected")
			},
			Disconnected: func(*server.Session, error) { order = append(order, "disconnected") },
		}))
		c := run(t, push.Dial(t), "c1", nil)
		<-blocked
		wantSame(t, "sessions", names(push), []string{"c1"})
		c.cancel()
		nobody(t, push)
		close(release)
		synctest.Wait()
		wantSame(t, "hooks", order, []string{"connected", "disconnected"})
	})
}

func TestHooksOfManySessionsRunBesideEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t, server.WithHooks(server.Hooks{
			Connected:    func(*server.Session) { time.Sleep(time.Second) },
			Disconnected: func(*server.Session, error) { time.Sleep(time.Second) },
		}))
		start := time.Now()
		for range 10 {
			push.Connect(t, "c1", answers("a"))
		}
		wantAnswer(t, push.Client("c1"), "a")
		if got := time.Since(start); got != 0 {
			t.Errorf("got a wait of %v for hooks, want none", got)
		}
		sessions := slices.Collect(push.Sessions())
		if err := push.Close(); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 2*time.Second {
			t.Errorf("got an end of Close after %v, want it when all hooks have returned, after 2s", got)
		}
		for _, s := range sessions {
			wantCode(t, s.Err(), codes.Unavailable)
		}
	})
}

func TestCreatedGetsTheServer(t *testing.T) {
	var got []*server.Server
	created := server.WithHooks(server.Hooks{Created: func(s *server.Server) {
		if used, limit := s.Memory(); used != 0 || limit != 5 {
			t.Errorf("got a memory of %d of %d bytes, want 0 of 5: New has not read all options yet", used, limit)
		}
		got = append(got, s)
	}})
	push := server.New(server.WithOptions(created, server.WithHooks(server.Hooks{}), created), server.WithMaxMemory(5))
	wantSame(t, "servers", got, []*server.Server{push, push})
	if used, limit := server.New(server.WithMaxMemory(0)).Memory(); used != 0 || limit != 0 {
		t.Errorf("got a memory of %d of %d bytes, want 0 of 0 for no limit", used, limit)
	}
}
