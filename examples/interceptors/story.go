package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// story makes the pushes.
type story struct {
	out      io.Writer
	server   *pushServer
	displays map[string]*runningDisplay
}

type runningDisplay struct {
	*display
	stop func()
}

// start starts a display and returns when it is there.
func (s *story) start(ctx context.Context, name string) error {
	d := &display{name: name, began: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(ctx)
	connected, served := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		served <- d.serve(ctx, newLog(s.out, "client"), s.server.addr, func() {
			select {
			case connected <- struct{}{}:
			default:
			}
		})
	}()
	if s.displays == nil {
		s.displays = make(map[string]*runningDisplay)
	}
	s.displays[name] = &runningDisplay{d, func() {
		cancel()
		<-served //nolint:errcheck // it ends with its context
	}}
	select {
	case <-connected:
		return nil
	case err := <-served:
		served <- err
		return err
	}
}

func (s *story) stopDisplays() {
	for _, d := range s.displays {
		d.stop()
	}
}

func (s *story) title(text string) { fmt.Fprintf(s.out, "\n# %s\n", text) }

// push shows a text, and prints what came of it unless it is silent.
func (s *story) push(ctx context.Context, name, text string, opts ...grpc.CallOption) {
	r, err := pb.NewNotifierClient(s.server.push.Client(name)).Notify(ctx, &pb.NotifyRequest{Text: text}, opts...)
	if err == nil {
		fmt.Fprintf(s.out, "=> shown by %s\n", r.GetDisplay())
		return
	}
	limit := ""
	if l, ok := tunnel.LimitOf(err); ok {
		limit = fmt.Sprintf(", limit %s", string(l))
	}
	fmt.Fprintf(s.out, "=> %v, %v%s\n", status.Code(err), tunnel.OutcomeOf(err), limit)
}

// tell goes through the interceptors.
func (s *story) tell(ctx context.Context) error {
	owner := as(ctx, "owner")

	s.title("A push, logged at both ends.")
	s.push(as(ctx, "cook"), "kitchen", "Dinner is ready", grpc.WaitForReady(true))

	s.title("The cook may not push to the cellar.")
	s.push(as(ctx, "cook"), "cellar", "Bring wine")

	s.title("The kitchen has a bug. It stays connected, and nobody sees its stack.")
	s.push(owner, "kitchen", "bug")

	s.title("2 pushes a second and client, 5 at once. A push that has no time to wait fails.")
	for range 5 {
		s.push(owner, "cellar", "Turn on the light", grpc.WaitForReady(true))
	}
	short, cancel := context.WithTimeout(owner, 50*time.Millisecond)
	s.push(short, "cellar", "Turn off the light")
	cancel()

	s.title("The kitchen is away for half a second. The push was not sent, so it is repeated.")
	s.displays["kitchen"].stop()
	if err := s.waitUntil(ctx, "kitchen", 0); err != nil {
		return err
	}
	started := make(chan error, 1)
	timer := time.AfterFunc(500*time.Millisecond, func() { started <- s.start(ctx, "kitchen") })
	defer timer.Stop()
	s.push(owner, "kitchen", "Dinner is ready")
	if err := <-started; err != nil {
		return err
	}

	s.title("The session is lost while the kitchen works. The push is repeated with its key, and shown once.")
	kitchen := s.displays["kitchen"]
	before := kitchen.shown.Load()
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		s.push(owner, "kitchen", "slow")
	}()
	select {
	case <-kitchen.began:
	case <-ctx.Done():
		return ctx.Err()
	}
	for session := range s.server.push.Sessions("kitchen") {
		session.Close("lost, for the example")
	}
	<-pushed
	fmt.Fprintf(s.out, "=> times shown: %d\n", kitchen.shown.Load()-before)
	return ctx.Err()
}

// waitUntil waits until a name has so many sessions.
func (s *story) waitUntil(ctx context.Context, name string, n int) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		have := 0
		for range s.server.push.Sessions(name) {
			have++
		}
		if have == n {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
