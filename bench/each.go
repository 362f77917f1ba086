package main

import (
	"errors"
	"sync"
	"sync/atomic"
)

// each calls f(0) to f(count-1), up to 32 at a time, and returns what went
// wrong. After an error it begins no more.
func each(count int, f func(int) error) error {
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		failed atomic.Bool
		errs   = make([]error, min(count, 32))
	)
	for w := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < count && !failed.Load(); i = int(next.Add(1)) - 1 {
				if errs[w] = f(i); errs[w] != nil {
					failed.Store(true)
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
