package server

import (
	"strconv"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// RegistrySize returns how many names, sessions and names that calls wait for
// the registry holds.
func (s *Server) RegistrySize() (names, ids, waiters int) {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	return len(s.reg.names), len(s.reg.ids), len(s.reg.waiters)
}

// Watchers returns how many watches are under way.
func (s *Server) Watchers() int {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	return s.reg.watchers
}

// EnterAndLeave is what the registry does for a session that comes and goes.
func (s *Server) EnterAndLeave() {
	session := &Session{peer: tunnel.Peer{Name: "c1", Session: "1"}}
	if _, err := s.reg.add(session, "", false); err != nil {
		panic(err)
	}
	s.reg.remove(session)
}

// Enter enters sessions without links into the registry.
func (s *Server) Enter(n int) {
	for i := range n {
		name := strconv.Itoa(i)
		if _, err := s.reg.add(&Session{peer: tunnel.Peer{Name: name, Session: name}}, "", false); err != nil {
			panic(err)
		}
	}
}
