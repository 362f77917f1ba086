package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// killed shows what callers see of a client whose process is killed and started
// again.
func killed(ctx context.Context, s *story) error {
	garage := s.notifier("garage")
	closeDoor := &pb.NotifyRequest{Text: "Close the door"}

	// A call that is under way ends at once. Nobody knows how far it came.
	s.call("kill -9 garage", "garage: install 2.0")
	shown := 0
	err := install(ctx, garage, func(percent uint32) {
		if shown++; shown <= 2 {
			s.result("%d%%", percent)
		}
		if shown == 2 {
			s.garage.kill()
		}
	})
	if err := s.failure(err, tunnel.OutcomeUnknown); err != nil {
		return err
	}
	if _, err := await(ctx, s.server.left, 1); err != nil {
		return err
	}

	// A new call fails at once. It was not sent.
	s.call("", `garage: "Close the door"`)
	atOnce, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err = garage.Notify(atOnce, closeDoor)
	if err := s.failure(err, tunnel.OutcomeNotSent); err != nil {
		return err
	}
	s.call("", "")
	s.result("%s", status.Convert(err).Message())
	s.end()

	// Or it waits, if the caller likes.
	s.call("", "the same, WaitForReady")
	answered := make(chan error, 1)
	go func() {
		_, err := garage.Notify(ctx, closeDoor, grpc.WaitForReady(true))
		answered <- err
	}()
	select {
	case err := <-answered:
		return fmt.Errorf("a call to a client that is gone did not wait: %w", err)
	case <-time.After(300 * time.Millisecond):
		s.result("waits ...")
	}
	again, err := startProcess(ctx, s.server.addr, "garage")
	if err != nil {
		return err
	}
	*s.garage = *again
	s.result("garage is started again ...")
	if err := <-answered; err != nil {
		return err
	}
	s.result("shown by garage")
	s.end()
	return nil
}

// failure ends the line of a call that should have failed with UNAVAILABLE.
func (s *story) failure(err error, outcome tunnel.Outcome) error {
	s.result("%s; outcome: %s", status.Code(err), tunnel.OutcomeOf(err))
	s.end()
	if status.Code(err) != codes.Unavailable || tunnel.OutcomeOf(err) != outcome {
		return errors.Join(fmt.Errorf("the call did not end with %s; outcome: %s", codes.Unavailable, outcome), err)
	}
	return nil
}
