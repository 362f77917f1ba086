package admin

import (
	"maps"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
	"github.com/pushtunnel/pushtunnel/server"
)

// message returns a session as it is now.
func message(s *server.Session) *pb.Session {
	p := s.Peer()
	m := &pb.Session{
		Name:      text(p.Name),
		Namespace: text(p.Namespace),
		Id:        text(p.Session),
		Labels:    texts(p.Labels),
		Subject:   text(p.Subject),
		Protocol:  text(p.Protocol),
		Since:     timestamppb.New(s.Since()),
		InFlight:  int64(s.InFlight()),
	}
	if p.Claim != nil {
		m.ClaimedLabels = texts(p.Claim.Labels)
	}
	if p.Addr != nil {
		m.Address = text(p.Addr.String())
	}
	if d := s.RoundTrip(); d > 0 {
		m.RoundTrip = durationpb.New(d)
	}
	return m
}

// text makes a text one that a message can have. Subjects and addresses may be
// anything, and one of them shall not spoil a list.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func texts(labels map[string]string) map[string]string {
	for k, v := range labels {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			valid := maps.Clone(labels)
			clear(valid)
			for k, v := range labels {
				valid[text(k)] = text(v)
			}
			return valid
		}
	}
	return labels
}
