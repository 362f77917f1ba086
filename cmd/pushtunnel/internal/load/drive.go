package load

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Result is what came of a run.
type Result struct {
	Took   time.Duration
	Calls  Histogram // that have succeeded
	Failed map[codes.Code]int64
}

// Errors returns how many calls have failed.
func (r *Result) Errors() (n int64) {
	for _, c := range r.Failed {
		n += c
	}
	return n
}

// Rate returns how many calls have succeeded in a second.
func (r *Result) Rate() float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Calls.Count()) / r.Took.Seconds()
}

// Drive has so many callers make calls, one after the other each, until ctx ends. call gets
// the caller's number. Calls that ctx has cut off do not count. done is told of each call.
func Drive(ctx context.Context, callers int, call func(ctx context.Context, caller int) error, done *atomic.Int64) *Result {
	results := make([]Result, callers)
	begin := time.Now()
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() { results[i].drive(ctx, i, call, done) })
	}
	all.Wait()
	r := &Result{Took: time.Since(begin), Failed: make(map[codes.Code]int64)}
	for i := range results {
		r.Calls.Merge(&results[i].Calls)
		for c, n := range results[i].Failed {
			r.Failed[c] += n
		}
	}
	maps.DeleteFunc(r.Failed, func(_ codes.Code, n int64) bool { return n == 0 })
	return r
}

func (r *Result) drive(ctx context.Context, caller int, call func(context.Context, int) error, done *atomic.Int64) {
	r.Failed = make(map[codes.Code]int64)
	for ctx.Err() == nil {
		begin := time.Now()
		err := call(ctx, caller)
		if ctx.Err() != nil && err != nil {
			return
		}
		if err != nil {
			r.Failed[status.Code(err)]++
		} else {
			r.Calls.Add(time.Since(begin))
		}
		done.Add(1)
	}
}
