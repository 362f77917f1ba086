package server

// RegistrySize returns how many names, sessions and names that calls wait for
// the registry holds.
func (s *Server) RegistrySize() (names, ids, waiters int) {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	return len(s.reg.names), len(s.reg.ids), len(s.reg.waiters)
}
