package client_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/proto"
)

// later is a refusal that says when to come back.
func later(d time.Duration) error {
	st, err := status.New(codes.Unavailable, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
	if err != nil {
		return err
	}
	return st.Err()
}

// The client waits as long as it says, at first no longer than the base delay,
// and then ever longer.
func TestReconnectBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const attempts = 12
		var mu sync.Mutex
		var at []time.Time
		retries := newRetries()
		c := run(t, play(t, func(int, stream) error {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			return status.Error(codes.Unavailable, "away")
		}), retries.option(), client.WithBackoff(backoff.Config{BaseDelay: time.Second, Multiplier: 2, MaxDelay: 10 * time.Second}))
		for n := range retries.times {
			if n == attempts {
				c.cancel()
				<-c.served
				break
			}
		}
		mu.Lock()
		defer mu.Unlock()
		ceiling := time.Second
		var sum time.Duration
		for n := range attempts - 1 {
			after := retries.after[n]
			if after < 0 || after >= ceiling {
				t.Errorf("wait %d: got %v, want less than %v", n, after, ceiling)
			}
			if got := at[n+1].Sub(retries.at[n]); got != after {
				t.Errorf("wait %d: got an attempt after %v, want it after %v as was said", n, got, after)
			}
			sum += after
			ceiling = min(2*ceiling, 10*time.Second)
		}
		if sum < 10*time.Second {
			t.Errorf("got waits of %v, want longer ones", retries.after)
		}
	})
}

func TestReconnectByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		retries := newRetries()
		run(t, play(t, func(int, stream) error { return status.Error(codes.Unavailable, "away") }), retries.option())
		for n := range retries.times {
			if n == 60 {
				break
			}
		}
		most := time.Duration(0)
		for n, after := range retries.after {
			if n == 0 && after >= time.Second {
				t.Errorf("got a first wait of %v, want less than 1s", after)
			}
			most = max(most, after)
		}
		if most >= 30*time.Second || most < 20*time.Second {
			t.Errorf("got a longest wait of %v, want almost 30s", most)
		}
	})
}

// What the server asks for goes before the backoff: in a refusal, and at the end
// of a session.
func TestReconnectHonoursRetryInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		retries := newRetries()
		run(t, play(t, func(n int, s stream) error {
			if n%2 == 1 {
				if _, err := welcome(n, s); err != nil {
					return err
				}
			}
			return later(time.Minute)
		}), retries.option())
		for n := range retries.times {
			if n == 20 {
				break
			}
		}
		for n, after := range retries.after {
			if after < time.Minute || after >= 2*time.Minute {
				t.Errorf("wait %d: got %v, want 1m to 2m", n, after)
			}
		}
	})
}

// A session that has lasted lets the backoff start over; a short one does not.
func TestAStableSessionResetsTheBackoff(t *testing.T) {
	for _, test := range []struct {
		lasts time.Duration
		reset bool
	}{{5 * time.Second, true}, {4 * time.Second, false}} {
		t.Run(fmt.Sprint(test.lasts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				retries := newRetries()
				run(t, play(t, func(n int, s stream) error {
					if n < 30 {
						return status.Error(codes.Unavailable, "away")
					}
					if _, err := welcome(n, s); err != nil {
						return err
					}
					time.Sleep(test.lasts)
					return status.Error(codes.Unavailable, "gone")
				}), retries.option(), client.WithBackoff(backoff.Config{BaseDelay: time.Second, Multiplier: 2, MaxDelay: time.Hour}))
				for n := range retries.times {
					if n == 60 {
						break
					}
				}
				short := 0
				for _, after := range retries.after[30:] {
					if after < time.Second {
						short++
					}
				}
				if test.reset && short != 30 || !test.reset && short > 3 {
					t.Errorf("got %d of 30 waits below 1s, want the backoff to start over: %v", short, test.reset)
				}
			})
		})
	}
}

// moves is a server that asks the client to move, session after session. It
// notes what happens.
type moves struct {
	after time.Duration
	mu    sync.Mutex
	log   []string
	asked []time.Time
	came  []time.Time
}

func (m *moves) note(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *moves) play(n int, s stream) error {
	h, err := welcome(n, s)
	if err != nil {
		return err
	}
	m.note("session %d follows %q, lost: %v", n, h.GetPreviousSession(), h.GetPreviousLost())
	m.mu.Lock()
	m.came = append(m.came, time.Now())
	m.asked = append(m.asked, time.Now())
	m.mu.Unlock()
	if err := send(s, &pb.Frame{GoAway: &pb.GoAway{Reason: "move", ReconnectAfterMs: uint32(m.after.Milliseconds())}}); err != nil { //nolint:gosec // not negative
		return err
	}
	err = part(s)
	m.note("session %d has parted: %v", n, err)
	return err
}

// The client makes before it breaks: the next session is open before it parts
// from the last, and it says which one it follows.
func TestAClientThatIsAskedToMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &moves{after: 10 * time.Second}
		conns := newConnections()
		c := run(t, play(t, m.play), conns.option())
		for range 20 {
			<-conns.came
		}
		c.cancel()
		<-c.served
		synctest.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		want := []string{
			`session 0 follows "", lost: false`,
			`session 1 follows "session-0", lost: false`,
			"session 0 has parted: <nil>",
			`session 2 follows "session-1", lost: false`,
			"session 1 has parted: <nil>",
		}
		for i, want := range want {
			if m.log[i] != want {
				t.Errorf("event %d: got %q, want %q", i, m.log[i], want)
			}
		}
		least, most := time.Hour, time.Duration(0)
		for n := range 19 {
			after := m.came[n+1].Sub(m.asked[n])
			least, most = min(least, after), max(most, after)
		}
		if least < 10*time.Second || most >= 20*time.Second || most-least < time.Second {
			t.Errorf("got moves after %v to %v, want 10s to 20s, at random", least, most)
		}
	})
}

// Without a word on when to come, clients do not all move at the same moment.
func TestAMoveWithoutAHintHasJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &moves{}
		conns := newConnections()
		run(t, play(t, m.play), conns.option(), client.WithBackoff(backoff.Config{BaseDelay: time.Second, Multiplier: 1, MaxDelay: time.Second}))
		for range 50 {
			<-conns.came
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		least, most := time.Hour, time.Duration(0)
		for n := range 49 {
			after := m.came[n+1].Sub(m.asked[n])
			least, most = min(least, after), max(most, after)
		}
		if least > 200*time.Millisecond || most < 800*time.Millisecond || most >= time.Second {
			t.Errorf("got moves after %v to %v, want all of 0s to 1s", least, most)
		}
	})
}

// A client that was asked to move and finds no other server parts all the same,
// and then tries as ever.
func TestAMoveToNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parted := make(chan struct{})
		conns, retries := newConnections(), newRetries()
		run(t, play(t, func(n int, s stream) error {
			switch n {
			case 0:
				if _, err := welcome(n, s); err != nil {
					return err
				}
				if err := send(s, &pb.Frame{GoAway: &pb.GoAway{ReconnectAfterMs: 1}}); err != nil {
					return err
				}
				defer close(parted)
				return part(s)
			case 1, 2, 3:
				return status.Error(codes.Unavailable, "away")
			default:
				return serve(n, s)
			}
		}), conns.option(), retries.option())
		<-conns.came
		<-parted
		if err := <-conns.went; err != nil {
			t.Errorf("got an end of the first session with %v, want nil", err)
		}
		if got := (<-conns.came).Session; got != "session-4" {
			t.Errorf("got the session %q, want %q", got, "session-4")
		}
		if got := len(retries.after); got != 3 {
			t.Errorf("got %d waits, want 3", got)
		}
	})
}

// A client that comes back says which session it had, and that it is lost.
func TestAClientThatComesBackSaysWhoItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hellos := make(chan *pb.Hello, 10)
		run(t, play(t, func(n int, s stream) error {
			if n == 1 || n == 2 {
				return status.Error(codes.Unavailable, "away")
			}
			h, err := welcome(n, s)
			if err != nil {
				return err
			}
			hellos <- h
			return status.Error(codes.Unavailable, "gone")
		}))
		first, second, third := <-hellos, <-hellos, <-hellos
		if first.GetPreviousSession() != "" || first.GetPreviousLost() {
			t.Errorf("the first: got %v, want no previous session", first)
		}
		if second.GetPreviousSession() != "session-0" || !second.GetPreviousLost() {
			t.Errorf("the second: got %v, want session-0, lost", second)
		}
		if third.GetPreviousSession() != "session-3" || !third.GetPreviousLost() {
			t.Errorf("the third: got %v, want session-3, lost", third)
		}
	})
}

func TestHooksOfAClientAreCalledInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns, retries, second := newConnections(), newRetries(), newConnections()
		c := run(t, play(t, func(n int, s stream) error {
			switch n {
			case 0:
				return status.Error(codes.Unavailable, "away")
			case 1:
				if _, err := welcome(n, s); err != nil {
					return err
				}
				return status.Error(codes.Internal, "broken")
			default:
				return serve(n, s)
			}
		}), conns.option(), client.WithHooks(client.Hooks{}), retries.option(), second.option())

		<-retries.times
		if p := <-conns.came; p.Name != "c1" || p.Session != "session-1" || p.Protocol != "grpc" || p.Addr == nil {
			t.Errorf("Connected: got %+v, want the client's name, the session, the protocol and an address", p)
		}
		wantCode(t, <-conns.went, codes.Internal)
		<-retries.times
		wantCode(t, retries.errs[0], codes.Unavailable)
		wantCode(t, retries.errs[1], codes.Internal)
		<-conns.came
		if err := c.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-conns.went; err != nil {
			t.Errorf("Disconnected of a session that ended in order: got %v, want nil", err)
		}
		if len(second.came) != 2 || len(second.went) != 2 || len(conns.went) != 0 {
			t.Errorf("the second hooks: got %d and %d calls, want 2 and 2", len(second.came), len(second.went))
		}
	})
}

// A server that ends a session in order, without a reason, has lost it too.
func TestASessionThatTheServerEndsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns, retries := newConnections(), newRetries()
		run(t, play(t, func(n int, s stream) error {
			_, err := welcome(n, s)
			return err
		}), conns.option(), retries.option())
		<-conns.came
		if err := <-conns.went; err != nil {
			t.Errorf("Disconnected: got %v, want nil", err)
		}
		<-retries.times
		wantCode(t, retries.errs[0], codes.Unavailable)
		if errors.Is(retries.errs[0], nil) {
			t.Error("Retry: got nil, want an error")
		}
	})
}

// A stream that the server ends without a hello was no session.
func TestAStreamThatEndsWithoutAHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns, retries := newConnections(), newRetries()
		run(t, play(t, func(_ int, s stream) error {
			_, err := s.Recv()
			return err
		}), conns.option(), retries.option())
		<-retries.times
		wantCode(t, retries.errs[0], codes.Unavailable)
		if got := len(conns.came) + len(conns.went); got != 0 {
			t.Errorf("got %d hooks, want none", got)
		}
	})
}
