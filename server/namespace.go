package server

import "iter"

// Namespace is a part of a Server whose names are apart from all others: "c1" in
// one is another client than "c1" in the next. Clients get into it as the server's
// identity function says. The default one has the empty name; Client and Sessions of
// Server are those of it.
type Namespace struct {
	server *Server
	name   string
}

// Namespace returns the namespace of this name. It need not have clients, now or
// ever.
func (s *Server) Namespace(name string) Namespace { return Namespace{s, name} }

// Name returns the namespace's name.
func (n Namespace) Name() string { return n.name }

// Client returns the connection to the clients of a name. It is bound at the
// time of each call: the name need not be connected, now or ever.
func (n Namespace) Client(name string) *Conn { return &Conn{server: n.server, key: key{n.name, name}} }

// Sessions returns the sessions of these names, or all of the namespace if there
// are no names: those that are connected when the iteration begins and take calls,
// in the order of the names and then the oldest first.
func (n Namespace) Sessions(names ...string) iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		for _, session := range n.server.reg.list(n.name, names) {
			if !yield(session) {
				return
			}
		}
	}
}

// All returns the sessions of all namespaces, the oldest first. It is for
// operators: what one namespace may know of another is theirs to say.
func (s *Server) All() iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		all, _ := s.reg.everywhere()
		for _, session := range all {
			if !yield(session) {
				return
			}
		}
	}
}

// AllAfter returns the sessions of all namespaces that came after a revision, the
// oldest first: see Session.Revision. Unlike All it takes no snapshot but looks up a
// few sessions at a time, so that it costs little to stop and to go on after the
// last one. Sessions that come or leave meanwhile may be missing; none is returned
// twice.
func (s *Server) AllAfter(revision uint64) iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		some := make([]*Session, 64)
		for after := revision; ; {
			n := s.reg.after(after, some)
			for _, session := range some[:n] {
				if !yield(session) {
					return
				}
				after = session.came
			}
			if n < len(some) {
				return
			}
		}
	}
}
