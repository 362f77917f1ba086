package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// callFor makes calls for about duration.
func (f *fleet) callFor(j job, duration time.Duration) (sample, error) {
	c := f.startCallers(j)
	timer := time.AfterFunc(duration, c.stop)
	defer timer.Stop()
	return c.wait(duration + 10*time.Second)
}

// callers make calls until they are stopped, or one fails.
type callers struct {
	started time.Time
	running sync.WaitGroup
	stopped atomic.Bool
	done    []sample // of each
	errs    []error  // of each
}

// startCallers starts the callers of a job. They must be waited for.
func (f *fleet) startCallers(j job) *callers {
	c := &callers{started: time.Now(), done: make([]sample, j.Callers), errs: make([]error, j.Callers)}
	for i := range j.Callers {
		c.running.Go(func() { c.done[i], c.errs[i] = f.callUntil(&c.stopped, j) })
	}
	return c
}

// callUntil is one of them. It makes one call even if that takes too long.
func (f *fleet) callUntil(stopped *atomic.Bool, j job) (s sample, err error) {
	data := make([]byte, j.Size)
	for last := time.Now(); s.Ops == 0 || !stopped.Load(); s.Ops++ {
		if err := callOnce(f, j.Timeout, data); err != nil {
			stopped.Store(true)
			return s, err
		}
		if j.Timed {
			now := time.Now()
			s.Latencies = append(s.Latencies, now.Sub(last))
			last = now
		}
	}
	return s, nil
}

func (c *callers) stop() { c.stopped.Store(true) }

// wait returns what they all have done, but waits no longer than patience.
func (c *callers) wait(patience time.Duration) (sample, error) {
	ended := make(chan struct{})
	go func() { c.running.Wait(); close(ended) }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		return sample{}, fmt.Errorf("calls have not ended for %v", patience)
	}
	all := sample{Elapsed: time.Since(c.started)}
	for _, s := range c.done {
		all.Ops += s.Ops
		all.Latencies = append(all.Latencies, s.Latencies...)
	}
	return all, errors.Join(c.errs...)
}

// callOnce calls a client chosen at random.
func callOnce(f *fleet, timeout time.Duration, data []byte) error {
	ctx, cancel := withTimeout(timeout)
	defer cancel()
	return f.call(ctx, f.names[rand.IntN(len(f.names))], data)
}

// call calls a client and looks at its answer.
func (f *fleet) call(ctx context.Context, name string, data []byte) error {
	answer, err := f.caller.call(ctx, name, data)
	if err == nil && len(answer) != len(data) {
		err = fmt.Errorf("sent %d bytes and got %d back", len(data), len(answer))
	}
	return err
}

// withTimeout returns a context that ends so far away; never if that is zero.
func withTimeout(timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), timeout)
}
