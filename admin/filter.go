package admin

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
	"github.com/pushtunnel/pushtunnel/server"
)

// filter chooses sessions.
type filter struct {
	terms
	selector server.Selector
}

// terms are what a filter asks for, as it was said: they can be compared.
type terms struct {
	spaced                            bool // whether a namespace is asked for
	namespace, name, labels, protocol string
}

func newFilter(f *pb.Filter) (filter, error) {
	selector, err := server.ParseSelector(f.GetLabels())
	if err != nil {
		return filter{}, status.Error(codes.InvalidArgument, err.Error())
	}
	return filter{selector: selector, terms: terms{
		spaced: f != nil && f.Namespace != nil, namespace: f.GetNamespace(),
		name: f.GetName(), labels: f.GetLabels(), protocol: f.GetProtocol(),
	}}, nil
}

// passes reports whether a session is chosen. What it looks at never changes.
func (f *filter) passes(s *server.Session) bool {
	return (!f.spaced || s.Namespace() == f.namespace) &&
		(f.name == "" || s.Name() == f.name) &&
		(f.protocol == "" || s.Peer().Protocol == f.protocol) &&
		f.selector.Matches(s.Labels())
}
