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
	parked []chan task // the last to park is the first to run: its stack is still in the cache
	closed bool
}

// task is what a worker runs.
type task interface{ run() }

type taskFunc func()

func (f taskFunc) run() { f() }

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

// Go runs f on a goroutine other than this one. It does not block. A nil Workers
// makes a goroutine each time. It is for protocols of their own: the calls of a
// Session find their way by themselves.
func (w *Workers) Go(f func()) { w.run(taskFunc(f)) }

// run runs a task on a goroutine other than this one.
func (w *Workers) run(t task) {
	if w == nil {
		go t.run()
		return
	}
	w.mu.Lock()
	last := len(w.parked) - 1
	if last < 0 {
		w.mu.Unlock()
		go w.loop(t)
		return
	}
	p := w.parked[last]
	w.parked = w.parked[:last]
	w.mu.Unlock()
	p <- t
}

func (w *Workers) loop(t task) {
	work := make(chan task, 1)
	for t != nil {
		t.run()
		if !w.park(work) {
			return
		}
		t = <-work
	}
}

// park puts a goroutine among those that wait. It reports false if it is not
// needed.
func (w *Workers) park(work chan task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.parked) >= maxParked {
		return false
	}
	w.parked = append(w.parked, work)
	return true
}
