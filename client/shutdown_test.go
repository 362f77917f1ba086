package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/proto"
)

func TestShutdownOfAnIdleClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := newConnections()
		ends := make(chan error, 1)
		c := run(t, play(t, func(n int, s stream) error {
			err := serve(n, s)
			ends <- err
			return err
		}), conns.option())
		<-conns.came
		start := time.Now()
		for range 2 {
			if err := c.Shutdown(t.Context()); err != nil {
				t.Errorf("got %v, want nil", err)
			}
			c.wantServed(t, nil)
		}
		elapsed(t, start, 0)
		if err := <-ends; err != nil {
			t.Errorf("the server's end: got %v, want an end in order", err)
		}
		if err := c.Serve(t.Context()); err != nil {
			t.Errorf("Serve after Shutdown: got %v, want nil at once", err)
		}
		if got := len(conns.came); got != 0 {
			t.Errorf("Serve after Shutdown: got %d sessions, want none", got)
		}
	})
}

// opening is how long Shutdown waits for a session that is being opened.
const opening = 100 * time.Millisecond

// Shutdown is at once where there is nothing to wait for, and leaves a session that is
// being opened a moment.
func TestShutdownOfAClientWithoutASession(t *testing.T) {
	for why, test := range map[string]struct {
		play  func(int, stream) error
		after time.Duration
	}{
		"it waits for a hello":           {func(_ int, s stream) error { return finish(s) }, opening},
		"it waits before it tries again": {func(int, stream) error { return status.Error(codes.Unavailable, "away") }, 0},
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tried := 0
				c := run(t, play(t, func(n int, s stream) error {
					tried++
					return test.play(n, s)
				}), client.WithBackoff(backoff.Config{BaseDelay: 1000 * time.Hour, MaxDelay: 1000 * time.Hour, Multiplier: 1}))
				synctest.Wait()
				start := time.Now()
				if err := c.Shutdown(t.Context()); err != nil {
					t.Errorf("got %v, want nil", err)
				}
				c.wantServed(t, nil)
				elapsed(t, start, test.after)
				if tried != 1 {
					t.Errorf("got %d streams, want 1", tried)
				}
			})
		})
	}
	t.Run("it waits for a connection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := run(t, connection(t, hangingDial))
			synctest.Wait()
			start := time.Now()
			if err := c.Shutdown(t.Context()); err != nil {
				t.Errorf("got %v, want nil", err)
			}
			c.wantServed(t, nil)
			elapsed(t, start, opening)
		})
	})
	t.Run("its session opens meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan error, 1)
			c := run(t, play(t, func(n int, s stream) error {
				time.Sleep(opening / 2)
				err := serve(n, s)
				ended <- err
				return err
			}))
			synctest.Wait()
			if err := c.Shutdown(t.Context()); err != nil {
				t.Errorf("got %v, want nil", err)
			}
			c.wantServed(t, nil)
			if err := <-ended; err != nil {
				t.Errorf("the server's end: got %v, want an end in order", err)
			}
		})
	})
	t.Run("it has never served", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tried := 0
			c := client.New(play(t, func(n int, s stream) error {
				tried++
				return serve(n, s)
			}), "c1")
			for range 2 {
				if err := c.Shutdown(t.Context()); err != nil {
					t.Errorf("got %v, want nil", err)
				}
			}
			if err := c.Serve(t.Context()); err != nil {
				t.Errorf("Serve after Shutdown: got %v, want nil at once", err)
			}
			synctest.Wait()
			if tried != 0 {
				t.Errorf("got %d streams, want none", tried)
			}
		})
	})
}

// slow is a server that takes this long to say that it has no more calls.
func slow(d time.Duration) func(int, stream) error {
	return func(n int, s stream) error {
		if _, err := welcome(n, s); err != nil {
			return err
		}
		if err := until(s, func(f *pb.Frame) bool { return f.GetGoAway() != nil }); err != nil {
			return err
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.Context().Done():
			return s.Context().Err()
		}
		if err := send(s, &pb.Frame{Done: true}); err != nil {
			return err
		}
		return finish(s)
	}
}

func TestShutdownWaitsForTheServersLastCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := newConnections()
		c := run(t, play(t, slow(time.Hour)), conns.option())
		<-conns.came
		start := time.Now()
		if err := c.Shutdown(t.Context()); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		elapsed(t, start, time.Hour)
		c.wantServed(t, nil)
	})
}

func TestShutdownWhoseContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := newConnections()
		c := run(t, play(t, slow(time.Hour)), conns.option())
		<-conns.came
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := c.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		// The server gets a second to end the stream in order, and does not.
		elapsed(t, start, time.Minute+time.Second)
		c.wantServed(t, nil)
	})
}

// Each Shutdown has a context, and returns when it ends.
func TestShutdownTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := newConnections()
		c := run(t, play(t, slow(time.Hour)), conns.option())
		<-conns.came
		patient := make(chan error, 1)
		go func() { patient <- c.Shutdown(context.WithoutCancel(t.Context())) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := c.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second: got %v, want the context's error", err)
		}
		if err := <-patient; err != nil {
			t.Errorf("the first: got %v, want nil", err)
		}
		elapsed(t, start, time.Minute+time.Second)
		c.wantServed(t, nil)
	})
}

// Shutdown waits for the sessions that the client is moving from, too.
func TestShutdownWhileTheClientMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := newConnections()
		c := run(t, play(t, func(n int, s stream) error {
			if n > 0 {
				return serve(n, s)
			}
			if _, err := welcome(n, s); err != nil {
				return err
			}
			if err := send(s, &pb.Frame{GoAway: &pb.GoAway{ReconnectAfterMs: 1}}); err != nil {
				return err
			}
			if err := until(s, func(f *pb.Frame) bool { return f.GetGoAway() != nil }); err != nil {
				return err
			}
			time.Sleep(time.Hour) // a call of this session takes that long
			if err := send(s, &pb.Frame{Done: true}); err != nil {
				return err
			}
			return finish(s)
		}), conns.option())
		<-conns.came
		<-conns.came
		start := time.Now()
		if err := c.Shutdown(t.Context()); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		elapsed(t, start, time.Hour)
		for range 2 {
			if err := <-conns.went; err != nil {
				t.Errorf("got an end of a session with %v, want nil", err)
			}
		}
		c.wantServed(t, nil)
	})
}
