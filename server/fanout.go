package server

import (
	"context"
	"iter"
	"sync"
)

// Result is what a call of a Fanout returned.
type Result[T any] struct {
	Value T
	Err   error
}

// defaultParallel is how many calls of a Fanout run at a time.
const defaultParallel = 64

// FanoutOption sets up a Fanout.
type FanoutOption interface{ applyFanout(*fanoutOptions) }

type fanoutOptions struct{ parallel int }

type parallelOption int

func (p parallelOption) applyFanout(o *fanoutOptions) { o.parallel = max(int(p), 1) }

// Parallel sets how many calls of a Fanout run at a time. The default is 64.
func Parallel(n int) FanoutOption { return parallelOption(n) }

// Fanout makes a call to each of the sessions, some at a time, and yields each
// result as it comes. It ends when the last has come. When the loop is left
// early, the calls under way have their context cancelled, and no further ones
// are made; Fanout waits for those under way to return. When ctx ends, the
// sessions that were not called yet are yielded with ctx's error.
//
// To show progress, collect the sessions first: slices.Collect(push.Sessions())
// has a length, and slices.Values makes a sequence of it again.
func Fanout[T any](ctx context.Context, sessions iter.Seq[*Session], call func(context.Context, *Session) (T, error), opts ...FanoutOption) iter.Seq2[*Session, Result[T]] {
	o := fanoutOptions{parallel: defaultParallel}
	for _, opt := range opts {
		opt.applyFanout(&o)
	}
	return func(yield func(*Session, Result[T]) bool) {
		ctx, cancel := context.WithCancel(ctx)
		type answer struct {
			session *Session
			result  Result[T]
		}
		work, answers := make(chan *Session), make(chan answer)
		left := make(chan struct{})
		var workers sync.WaitGroup
		defer workers.Wait()
		defer cancel()
		defer close(left)
		worker := func() {
			for s := range work {
				a := answer{session: s}
				if a.result.Err = ctx.Err(); a.result.Err == nil {
					a.result.Value, a.result.Err = call(ctx, s)
				}
				select {
				case answers <- a:
				case <-left:
				}
			}
		}
		workers.Go(func() {
			defer close(work)
			started := 0
			for s := range sessions {
				if started < o.parallel {
					started++
					workers.Go(worker)
				}
				select {
				case work <- s:
				case <-left:
					return
				}
			}
		})
		go func() {
			workers.Wait()
			close(answers)
		}()
		for a := range answers {
			if !yield(a.session, a.result) {
				return
			}
		}
	}
}
