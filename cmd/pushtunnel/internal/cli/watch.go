package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminpb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
)

type watchCommand struct {
	filter `embed:""`
}

// Help is what --help adds.
func (watchCommand) Help() string {
	return `It begins with those who are connected, and goes on until it is interrupted. As JSON, each line is a
pushtunnel.admin.v1.WatchSessionsResponse.`
}

// Run watches until ctx ends.
func (w *watchCommand) Run(ctx context.Context, std Streams) error {
	cc, stop, err := w.caller()
	if err != nil {
		return err
	}
	defer stop()
	stream, err := adminpb.NewAdminClient(cc).WatchSessions(ctx, &adminpb.WatchSessionsRequest{Filter: w.message()})
	if err != nil {
		return asCall(err)
	}
	show := watchText
	if w.JSON || !std.terminal() {
		show = watchJSON
	}
	for {
		change, err := stream.Recv()
		switch {
		case err != nil && ctx.Err() != nil && status.Code(err) == codes.Canceled:
			return nil // it was interrupted, as it is meant to be
		case err != nil:
			return asCall(err)
		}
		if err := show(std.Out, change); err != nil {
			return err
		}
	}
}

func watchJSON(out io.Writer, change *adminpb.WatchSessionsResponse) error {
	data, err := jsonLine(change)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", data)
	return err
}

func watchText(out io.Writer, change *adminpb.WatchSessionsResponse) error {
	line := func(sign, word string, s *adminpb.Session) {
		where := s.GetProtocol()
		if s.GetAddress() != "" {
			where += " from " + s.GetAddress()
		}
		name := printable(s.GetName())
		if s.GetNamespace() != "" {
			name = printable(s.GetNamespace()) + "/" + name
		}
		end := "\n"
		if len(s.GetLabels()) > 0 {
			end = ", " + printable(labels(s.GetLabels())) + "\n"
		}
		fmt.Fprintf(out, "%s %s %s, %s, since %s%s", sign, name, word, where, s.GetSince().AsTime().Local().Format(time.DateTime), end)
	}
	switch e := change.GetEvent().(type) {
	case *adminpb.WatchSessionsResponse_Snapshot:
		for _, s := range e.Snapshot.GetSessions() {
			line("=", "is connected", s)
		}
	case *adminpb.WatchSessionsResponse_Came:
		line("+", "came", e.Came)
	case *adminpb.WatchSessionsResponse_Left:
		line("-", "left", e.Left)
	default:
		return errors.New("the server tells something that this version does not know")
	}
	return nil
}
