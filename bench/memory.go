package main

import (
	"encoding/json"
	"errors"
	"runtime"
	"runtime/debug"
	"time"
)

// Idle clients are measured in a server process of its own, which has done
// nothing else, with the clients in children of that process.

// An idleSample is what one idle client costs the server.
type idleSample struct {
	RSS        float64 // bytes in memory; 0 where the system does not tell
	Heap       float64 // bytes of heap in use
	Stack      float64 // bytes of stacks in use
	Goroutines float64
}

// total is the heap and the stacks of a client in bytes.
func (s idleSample) total() float64 { return s.Heap + s.Stack }

// measureIdle measures c in processes of its own.
func measureIdle(c idleCase, clients int) (s idleSample, err error) {
	r, err := startRole(roleIdle, task{Contender: c.contender.name, Link: c.link.text(), Clients: clients})
	if err != nil {
		return s, err
	}
	err = r.read(&s)
	return s, errors.Join(err, r.stop())
}

// playIdle measures what t.Clients clients cost.
func playIdle(c contender, l link, t task, out *json.Encoder) (err error) {
	liveData = nil
	e, err := c.listen(l)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	t.Addr = e.addr
	children, err := startClients(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(children.stop(), err) }()

	// The first few clients also pay for what is there once.
	const first = 50
	connect := func(from, count int) error {
		if err := children.connect(from, count); err != nil {
			return err
		}
		return awaitClients(e, from+count)
	}
	if err := connect(0, first); err != nil {
		return err
	}
	before := readMemory()
	if err := connect(first, t.Clients); err != nil {
		return err
	}
	return out.Encode(readMemory().per(t.Clients, before))
}

// readMemory returns what this process holds when all is quiet.
func readMemory() idleSample {
	time.Sleep(500 * time.Millisecond)
	for range 3 { // pools are empty after two collections
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return idleSample{
		RSS:        float64(readRSS()),
		Heap:       float64(m.HeapInuse),
		Stack:      float64(m.StackInuse),
		Goroutines: float64(runtime.NumGoroutine()),
	}
}

// per divides the growth since before by the number of clients.
func (s idleSample) per(clients int, before idleSample) idleSample {
	n := float64(clients)
	return idleSample{
		RSS:        (s.RSS - before.RSS) / n,
		Heap:       (s.Heap - before.Heap) / n,
		Stack:      (s.Stack - before.Stack) / n,
		Goroutines: (s.Goroutines - before.Goroutines) / n,
	}
}
