package server

// Numbers are how many there are, at one moment.
type Numbers struct {
	// Sessions take calls, Ending take no more but have not ended.
	Sessions, Ending int
	// Names have a session that takes calls, of all namespaces together.
	Names int
	// Waiting is how many calls wait for a client to connect.
	Waiting int
}

// Numbers returns how many sessions, names and waiting calls there are. It costs the
// same however many sessions there are.
func (s *Server) Numbers() Numbers { return s.reg.numbers() }

func (r *registry) numbers() Numbers {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := Numbers{Sessions: r.order.len(), Names: len(r.names)}
	n.Ending = len(r.ids) - n.Sessions
	for _, w := range r.waiters {
		n.Waiting += w.calls
	}
	return n
}
