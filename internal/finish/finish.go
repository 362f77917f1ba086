// Package finish tells the grpc.OnFinish functions of a call of its end once,
// though the call may have several attempts.
package finish

import (
	"sync"

	"google.golang.org/grpc"
)

// Held are the OnFinish functions of a call, held back until it is clear which
// attempt is the last. Nil has no functions.
type Held struct {
	funcs []func(error)

	// mu guards what follows.
	mu       sync.Mutex
	settled  bool // the attempt under way is the last
	finished bool // it has finished
	err      error
}

// Hold takes the OnFinish functions out of a call's options. rest are the options
// for the attempts, one after the other. Call Discard between two of them, and
// Settle after the last has begun or failed.
func Hold(opts []grpc.CallOption) (h *Held, rest []grpc.CallOption) {
	rest = opts
	for i, o := range opts {
		o, ok := o.(grpc.OnFinishCallOption)
		if !ok {
			continue
		}
		if h == nil {
			h = &Held{}
			rest = append([]grpc.CallOption(nil), opts...)
		}
		h.funcs = append(h.funcs, o.OnFinish)
		rest[i] = grpc.EmptyCallOption{}
	}
	if h != nil {
		rest = append(rest, grpc.OnFinish(h.finish))
	}
	return h, rest
}

// finish notes that the attempt has finished.
func (h *Held) finish(err error) {
	h.mu.Lock()
	h.finished, h.err = true, err
	settled := h.settled
	h.mu.Unlock()
	if settled {
		h.run(err)
	}
}

// Discard forgets the attempt.
func (h *Held) Discard() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.finished = false
}

// Settle says that there is no further attempt. err is what the user is told
// now.
func (h *Held) Settle(err error) {
	if h == nil {
		return
	}
	h.mu.Lock()
	h.settled = true
	finished := h.finished || err != nil
	h.finished = true
	if err == nil {
		err = h.err
	}
	h.mu.Unlock()
	if finished {
		h.run(err)
	}
}

func (h *Held) run(err error) {
	for _, fn := range h.funcs {
		fn(err)
	}
}
