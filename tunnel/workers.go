package tunnel

import "sync"

// maxParked is how many goroutines of a Workers wait for work at most.
const maxParked = 128

// Workers run handlers on goroutines that have run some before, so that their
// stacks have grown already: that is a third of the cost of a small call. Any
// number run at a time; some are kept when they are done. One Workers may serve
// any number of sessions.
type Workers struct {
	// mu guards what follows.
	mu     sync.Mutex
	parked []chan *handlerCall // the last to park is the first to run: its stack is still in the cache
	closed bool
}

// NewWorkers returns Workers with no goroutines yet.
func NewWorkers() *Workers { return &Workers{} }

// Close ends the goroutines that wait. Those that run a handler end when it
// returns. Handlers that come later get a goroutine each.
func (w *Workers) Close() {
	w.mu.Lock()
	parked := w.parked
	w.parked, w.closed = nil, true
	w.mu.Unlock()
	for _, p := range parked {
		close(p)
	}
}

// run runs the handler of a call on a goroutine other than this one. It does not
// block. A nil Workers makes a goroutine each time.
func (w *Workers) run(c *handlerCall) {
	if w == nil {
		go c.run()
		return
	}
	w.mu.Lock()
	last := len(w.parked) - 1
	if last < 0 {
		w.mu.Unlock()
		go w.loop(c)
		return
	}
	p := w.parked[last]
	w.parked = w.parked[:last]
	w.mu.Unlock()
	p <- c
}

func (w *Workers) loop(c *handlerCall) {
	work := make(chan *handlerCall, 1)
	for c != nil {
		c.run()
		if !w.park(work) {
			return
		}
		c = <-work
	}
}

// park puts a goroutine among those that wait. It reports false if it is not
// needed.
func (w *Workers) park(work chan *handlerCall) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.parked) >= maxParked {
		return false
	}
	w.parked = append(w.parked, work)
	return true
}
