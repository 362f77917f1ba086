package admin

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"hash/maphash"
	"iter"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
	"github.com/pushtunnel/pushtunnel/server"
)

// What a page has at most, as admin.proto says.
const (
	defaultPage = 100
	maxPage     = 1000
	maxPageSize = 1 << 20 // bytes
)

// ListSessions returns a page of sessions. The next one begins after the revision
// with which the last of them came, which no coming and going can change.
func (s *service) ListSessions(ctx context.Context, req *pb.ListSessionsRequest) (*pb.ListSessionsResponse, error) {
	if err := s.enter(ctx, pb.Admin_ListSessions_FullMethodName); err != nil {
		return nil, err
	}
	f, err := newFilter(req.GetFilter())
	if err != nil {
		return nil, err
	}
	most := int(req.GetPageSize())
	switch {
	case most < 0:
		return nil, status.Errorf(codes.InvalidArgument, "pushtunnel: the page size is %d", most)
	case most == 0:
		most = defaultPage
	case most > maxPage:
		most = maxPage
	}
	after, ok := s.open(req.GetPageToken(), f.terms)
	if !ok {
		return nil, status.Error(codes.InvalidArgument,
			"pushtunnel: the page token is of another filter or another server: begin without one")
	}
	page, size := new(pb.ListSessionsResponse), 0
	for session := range s.sessions(ctx, &f, after) {
		m := message(session)
		size += proto.Size(m)
		if n := len(page.Sessions); n == most || n > 0 && size > maxPageSize {
			page.NextPageToken = s.token(after, f.terms)
			break
		}
		page.Sessions, after = append(page.Sessions, m), session.Revision()
	}
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	return page, nil
}

// sessions returns those that pass the filter and came after a revision, the oldest
// first, until ctx ends.
func (s *service) sessions(ctx context.Context, f *filter, after uint64) iter.Seq[*server.Session] {
	all := s.push.AllAfter(after)
	if f.spaced && f.name != "" {
		all = s.push.Namespace(f.namespace).Sessions(f.name) // there are few
	}
	return func(yield func(*server.Session) bool) {
		for session := range all {
			if ctx.Err() != nil {
				return
			}
			if session.Revision() > after && f.passes(session) && !yield(session) {
				return
			}
		}
	}
}

// tokenSize is how many bytes a page token has before it becomes text.
const tokenSize = 16

// token returns the page token of the sessions after a revision: the revision, and
// a seal that only this service can make, for this filter.
func (s *service) token(after uint64, t terms) string {
	var token [tokenSize]byte
	binary.BigEndian.PutUint64(token[:8], after)
	binary.BigEndian.PutUint64(token[8:], s.seal(after, t))
	return base64.RawURLEncoding.EncodeToString(token[:])
}

// open returns the revision of a page token, 0 if it is empty. It reports false if
// the token is not one that this service has made for this filter.
func (s *service) open(text string, t terms) (after uint64, ok bool) {
	if text == "" {
		return 0, true
	}
	token, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(token) != tokenSize {
		return 0, false
	}
	after = binary.BigEndian.Uint64(token)
	return after, binary.BigEndian.Uint64(token[8:]) == s.seal(after, t)
}

func (s *service) seal(after uint64, t terms) uint64 {
	return maphash.Comparable(s.seed, struct {
		after uint64
		terms
	}{after, t})
}
