package main

import (
	"errors"
	"sync"
	"sync/atomic"
)

// each calls f(0) to f(count-1), so many at a time at most, and returns what went
// wrong. After an error it begins no more.
func each(count, parallel int, f func(int) error) error {
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		failed atomic.Bool
		errs   = make([]error, min(count, parallel))
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
