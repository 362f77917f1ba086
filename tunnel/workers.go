package tunnel

import "sync"

// maxParked is how many goroutines of a Workers wait for work at most.
const maxParked = 128

// Workers run handlers on goroutines that have run some before, so that their
// stacks have grown already: that is a third of the cost of a small call. Any
// number run at a time; some are kept when they are done. One Workers may serve
// any number of sessions.
type Workers struct {
	work   chan *handlerCall
	closed chan struct{}
	once   sync.Once
	parked chan struct{} // a token for each goroutine that waits
}

// NewWorkers returns Workers with no goroutines yet.
func NewWorkers() *Workers {
	return &Workers{
		work:   make(chan *handlerCall),
		closed: make(chan struct{}),
		parked: make(chan struct{}, maxParked),
	}
}

// Close ends the goroutines that wait. Those that run a handler end when it
// returns. Handlers that come later get a goroutine each.
func (w *Workers) Close() { w.once.Do(func() { close(w.closed) }) }

// run runs the handler of a call on a goroutine other than this one. It does not
// block. A nil Workers makes a goroutine each time.
func (w *Workers) run(c *handlerCall) {
	if w == nil {
		go c.run()
		return
	}
	select {
	case w.work <- c:
	default:
		go w.loop(c)
	}
}

func (w *Workers) loop(c *handlerCall) {
	for {
		c.run()
		select {
		case w.parked <- struct{}{}:
		default:
			return
		}
		select {
		case c = <-w.work:
			<-w.parked
		case <-w.closed:
			return
		}
	}
}
