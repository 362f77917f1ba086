package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// follow watches on a goroutine until the watch ends, and sends what it yields in
// words.
func follow(ctx context.Context, push *tunneltest.Server) <-chan string {
	told := make(chan string, 1000)
	go func() {
		defer close(told)
		for c := range push.Watch(ctx) {
			words := []string{fmt.Sprint(c.Revision), c.Kind.String()}
			for _, s := range c.Sessions {
				words = append(words, s.Name())
			}
			if c.Session != nil {
				words = append(words, c.Session.Name())
			}
			told <- strings.Join(words, " ")
		}
	}()
	return told
}

// heard returns what was told until now, and "end" if that was all.
func heard(told <-chan string) []string {
	synctest.Wait()
	var got []string
	for {
		select {
		case text, ok := <-told:
			if !ok {
				return append(got, "end")
			}
			got = append(got, text)
		default:
			return got
		}
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		a := push.Connect(t, "a", nil)
		push.Connect(t, "b", nil)
		ctx, cancel := context.WithCancel(t.Context())
		first := follow(ctx, push)
		wantSame(t, "at first", heard(first), []string{"2 snapshot a b"})
		push.Connect(t, "c", nil)
		second := follow(t.Context(), push)
		wantSame(t, "who came", heard(first), []string{"3 came c"})
		wantSame(t, "another watcher", heard(second), []string{"3 snapshot a b c"})
		if err := a.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "who left", heard(first), []string{"4 left a"})
		cancel()
		wantSame(t, "after its context", heard(first), []string{"end"})
		if err := push.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := heard(second)
		if len(got) != 4 || got[0] != "4 left a" || got[3] != "end" {
			t.Errorf("until the server was shut down: got %v, want who left, then two more, then the end", got)
		}
		wantSame(t, "a closed server", heard(follow(t.Context(), push)), []string{"6 snapshot", "end"})
		cancel()
		wantSame(t, "a context that has ended", heard(follow(ctx, push)), []string{"end"})
	})
}

// A session is retired when its client leaves, also while a call is under way.
func TestASessionLeavesWhenItTakesNoMoreCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		began := make(chan struct{}, 1)
		c := push.Connect(t, "a", hangs(began))
		told := follow(t.Context(), push)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		s := only(t, push, "a")
		go func() {
			_, err := ask(ctx, s)
			ended <- err
		}()
		<-began
		stopped := make(chan error, 1)
		go func() { stopped <- c.Shutdown(t.Context()) }()
		wantSame(t, "while a call is under way", heard(told), []string{"1 snapshot a", "2 left a"})
		select {
		case <-s.Done():
			t.Error("the session has ended, want it to go on until its call ends")
		default:
		}
		cancel()
		<-ended
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		<-s.Done()
		wantSame(t, "after that", heard(told), nil)
	})
}

// A loop may be left, at any change, and hooks may watch.
func TestAWatchMayBeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		var push *tunneltest.Server
		push = tunneltest.NewServer(t, server.WithHooks(server.Hooks{Connected: func(s *server.Session) {
			for c := range push.Watch(t.Context()) {
				seen = append(seen, fmt.Sprint(c.Revision, " ", len(c.Sessions), " ", c.Sessions[0] == s))
				break
			}
		}}))
		push.Connect(t, "a", nil)
		synctest.Wait()
		wantSame(t, "seen", seen, []string{"1 1 true"})
		if n := push.Watchers(); n != 0 {
			t.Errorf("got %d watchers, want none", n)
		}
		for range push.Watch(t.Context()) {
			if n := push.Watchers(); n != 1 {
				t.Errorf("got %d watchers, want 1", n)
			}
			break
		}
		func() {
			defer func() { _ = recover() }()
			for range push.Watch(t.Context()) {
				panic("the loop's own")
			}
		}()
		if n := push.Watchers(); n != 0 {
			t.Errorf("after a panic: got %d watchers, want none", n)
		}
	})
}

func TestAllAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		for i := range 100 {
			push.Connect(t, fmt.Sprint(i), nil)
		}
		var got []string
		var after uint64
		for page := 0; ; page++ {
			n := 0
			for s := range push.AllAfter(after) {
				got, after = append(got, s.Name()), s.Revision()
				if n++; n == 33 {
					break
				}
			}
			if n == 0 {
				break
			}
			only(t, push, fmt.Sprint(page)).Close("it was seen already")
			synctest.Wait() // its client comes back at some time
		}
		if len(got) < 100 {
			t.Fatalf("got %d sessions, want 100 and those that came meanwhile", len(got))
		}
		for i, name := range got[:100] {
			if name != fmt.Sprint(i) {
				t.Fatalf("got %q in place %d", name, i)
			}
		}
	})
}
