package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/server"
)

// story is what the steps work with.
type story struct {
	*printer
	server *house
	garage *process
}

// notifier returns the stub of the clients of a name: the one that protoc
// generated, on a connection that is found at the time of each call.
func (s *story) notifier(name string) pb.NotifierClient {
	return pb.NewNotifierClient(s.server.push.Client(name))
}

// push calls a client by name.
func push(ctx context.Context, s *story) error {
	s.call("a push", `kitchen: "Dinner is ready"`)
	answer, err := s.notifier("kitchen").Notify(ctx, &pb.NotifyRequest{Text: "Dinner is ready"})
	if err != nil {
		return err
	}
	s.result("shown by %s", answer.GetDisplay())
	s.end()
	return expect(answer.GetDisplay(), "kitchen")
}

// oneOfMany calls a name that three clients have. Each call goes to one of them.
func oneOfMany(ctx context.Context, s *story) error {
	s.call("many, one name", "hall: 6 pushes")
	shown := map[string]int{}
	for range 6 {
		answer, err := s.notifier("hall").Notify(ctx, &pb.NotifyRequest{Text: "The door bell rings"})
		if err != nil {
			return err
		}
		shown[answer.GetDisplay()]++
	}
	for _, label := range slices.Sorted(maps.Keys(shown)) {
		s.result("%s: %d", label, shown[label])
	}
	s.end()
	return expect(fmt.Sprint(shown), fmt.Sprint(map[string]int{"hall-1": 2, "hall-2": 2, "hall-3": 2}))
}

// stream calls a method that answers with a stream.
func stream(ctx context.Context, s *story) error {
	s.call("a stream", "kitchen: install 2.0")
	err := install(ctx, s.notifier("kitchen"), func(percent uint32) { s.result("%d%%", percent) })
	s.end()
	return err
}

// install installs something and tells how far it is.
func install(ctx context.Context, n pb.NotifierClient, progress func(percent uint32)) error {
	installation, err := n.Install(ctx, &pb.InstallRequest{Version: "2.0"})
	if err != nil {
		return err
	}
	for {
		p, err := installation.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		progress(p.GetPercent())
	}
}

// fanout calls all sessions of all clients at the same time.
func fanout(ctx context.Context, s *story) error {
	s.call("a fan-out", "everybody: install 2.0")
	call := func(ctx context.Context, session *server.Session) (done uint32, err error) {
		err = install(ctx, pb.NewNotifierClient(session), func(percent uint32) { done = percent })
		return done, err
	}
	everybody := slices.Collect(s.server.push.Sessions())
	ended, installed, failed := 0, 0, ""
	for session, r := range server.Fanout(ctx, slices.Values(everybody), call) {
		ended++
		s.result("%d/%d", ended, len(everybody))
		if r.Err != nil {
			failed += fmt.Sprintf("%s: %s: %s", session.Name(), status.Code(r.Err), status.Convert(r.Err).Message())
			continue
		}
		installed++
	}
	s.end()
	s.call("", "all have answered")
	s.result("%d installed; %s", installed, failed)
	s.end()
	return expect(fmt.Sprintf("%d, %d, %s", ended, installed, failed), "6, 5, cellar: FailedPrecondition: the disk is full")
}

// shutdown ends the server without losing a call.
func shutdown(ctx context.Context, s *story) error {
	s.call("shut down", "nobody is cut off")
	if err := s.server.push.GracefulStop(ctx, s.server.grpc); err != nil {
		return err
	}
	s.result("all sessions have ended")
	s.end()
	return nil
}

// expect fails the demonstration if something is not as it should be.
func expect(got, want string) error {
	if got != want {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}
