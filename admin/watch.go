package admin

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
	"github.com/pushtunnel/pushtunnel/server"
)

// What a part of a snapshot has at most, as admin.proto says.
const (
	maxPart     = 500
	maxPartSize = 256 << 10 // bytes
)

// WatchSessions sends a snapshot and then each change. A caller that does not read
// holds up Send, and so this watch: it falls behind and gets a new snapshot.
func (s *service) WatchSessions(req *pb.WatchSessionsRequest, stream grpc.ServerStreamingServer[pb.WatchSessionsResponse]) error {
	ctx := stream.Context()
	if err := s.enter(ctx, pb.Admin_WatchSessions_FullMethodName); err != nil {
		return err
	}
	f, err := newFilter(req.GetFilter())
	if err != nil {
		return err
	}
	defer s.watchers.Add(-1)
	if n := s.watchers.Add(1); s.maxWatchers > 0 && n > s.maxWatchers {
		return LimitWatchers.Status("pushtunnel: the limit %q is reached: %d calls of WatchSessions", string(LimitWatchers), s.maxWatchers).Err()
	}
	for c := range s.push.Watch(ctx) {
		switch {
		case c.Kind == server.Snapshot:
			err = sendSnapshot(stream, &f, c)
		case !f.passes(c.Session):
		case c.Kind == server.SessionCame:
			err = stream.Send(&pb.WatchSessionsResponse{Revision: c.Revision, Event: &pb.WatchSessionsResponse_Came{Came: message(c.Session)}})
		case c.Kind == server.SessionLeft:
			err = stream.Send(&pb.WatchSessionsResponse{Revision: c.Revision, Event: &pb.WatchSessionsResponse_Left{Left: message(c.Session)}})
		}
		if err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Unavailable, server.ErrServerClosed.Error())
}

// sendSnapshot sends a snapshot in parts. It forgets what it has sent.
func sendSnapshot(stream grpc.ServerStreamingServer[pb.WatchSessionsResponse], f *filter, c server.Change) error {
	part, size := &pb.SnapshotPart{Begin: true}, 0
	send := func() error {
		return stream.Send(&pb.WatchSessionsResponse{Revision: c.Revision, Event: &pb.WatchSessionsResponse_Snapshot{Snapshot: part}})
	}
	for i, session := range c.Sessions {
		c.Sessions[i] = nil
		if !f.passes(session) {
			continue
		}
		m := message(session)
		size += proto.Size(m)
		if n := len(part.Sessions); n == maxPart || n > 0 && size > maxPartSize {
			if err := send(); err != nil {
				return err
			}
			part, size = new(pb.SnapshotPart), proto.Size(m)
		}
		part.Sessions = append(part.Sessions, m)
	}
	part.End = true
	return send()
}
