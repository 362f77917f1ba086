// Package stack keeps the stacks of goroutines small that wait for most of their
// lives. A stack that has grown for a moment's work stays so: among thousands of
// idle connections stacks are most of the memory.
package stack

// Apart calls f on a stack of its own, and waits for it.
func Apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}
