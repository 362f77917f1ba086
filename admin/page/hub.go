package page

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// hub looks at the sessions once a second while a stream is open, for all of them, and
// not at all otherwise. One goroutine looks; it begins with the first stream and ends
// with the last.
type hub struct {
	look    func(now time.Time, before *sample) *sample
	most    int           // streams; 0: any number
	closing chan struct{} // closed by close
	running sync.WaitGroup

	// mu guards what follows.
	mu      sync.Mutex
	streams int
	stop    chan struct{} // ends the goroutine
	current *sample       // nil before the first of this goroutine
	changed chan struct{} // closed, and made anew, with each new sample
	closed  bool
}

func (h *hub) init(most int, look func(time.Time, *sample) *sample) {
	h.most, h.look = most, look
	h.closing, h.changed = make(chan struct{}), make(chan struct{})
}

var errClosed = errors.New("pushtunnel: the server is stopping")

// enter counts a stream in. It returns why there may be none.
func (h *hub) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return errClosed
	case h.most > 0 && h.streams == h.most:
		return fmt.Errorf("pushtunnel: %d pages are open, and more may not be: close one", h.most)
	}
	if h.streams++; h.streams == 1 {
		h.stop = make(chan struct{})
		h.running.Add(1)
		go h.run(h.stop)
	}
	return nil
}

// leave counts a stream out.
func (h *hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams--; h.streams == 0 {
		close(h.stop)
		h.current = nil
	}
}

// latest returns the newest sample, and a channel that is closed when there is a newer
// one. The sample is nil if there is none yet.
func (h *hub) latest() (*sample, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current, h.changed
}

func (h *hub) run(stop chan struct{}) {
	defer h.running.Done()
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	var last *sample
	for {
		last = h.look(time.Now(), last)
		if !h.publish(last, stop) {
			return
		}
		select {
		case <-ticks.C:
		case <-stop:
			return
		}
	}
}

// publish makes a sample the newest, unless the goroutine that has it shall end.
func (h *hub) publish(s *sample, stop chan struct{}) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-stop:
		return false
	default:
	}
	h.current = s
	close(h.changed)
	h.changed = make(chan struct{})
	return true
}

// close ends all streams, lets none begin, and waits until nothing runs.
func (h *hub) close() {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		close(h.closing)
	}
	h.mu.Unlock()
	h.running.Wait()
}
