package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A sample is what one entrant did in one case in one round. Costs are of both
// ends together, for they share the process.
type sample struct {
	callsPerSecond float64
	p50, p99       time.Duration // of a lone caller only
	allocs, bytes  float64       // allocated, per call
	cpu            time.Duration // per call
	syscalls       float64       // read and write, per call
	others         float64       // share of the machine's CPU that went elsewhere
}

// figure is the number that w compares.
func (s sample) figure(w workload) float64 {
	if w.latency {
		return float64(s.p50)
	}
	return s.callsPerSecond
}

// take drives f as w says for about duration and measures it.
func take(f *fleet, w workload, timeout, duration time.Duration) (sample, error) {
	before, start := readCosts(), time.Now()
	calls, latencies, err := drive(f, w, timeout, duration)
	elapsed, costs := time.Since(start), readCosts().minus(before)
	if err != nil {
		return sample{}, err
	}
	if calls == 0 {
		return sample{}, errors.New("no call ended in time")
	}
	n := float64(calls)
	s := sample{
		callsPerSecond: n / elapsed.Seconds(),
		allocs:         float64(costs.mallocs) / n,
		bytes:          float64(costs.mallocBytes) / n,
		cpu:            costs.cpu / time.Duration(calls),
		syscalls:       float64(costs.syscalls) / n,
		others:         costs.others(),
	}
	if w.callers == 1 {
		slices.Sort(latencies)
		s.p50, s.p99 = percentile(latencies, 50), percentile(latencies, 99)
	}
	return s, nil
}

// drive makes calls for about duration. It returns how many there were and, if
// there is one caller, how long each took. The first error ends it.
func drive(f *fleet, w workload, timeout, duration time.Duration) (calls int, latencies []time.Duration, _ error) {
	var (
		callers sync.WaitGroup
		stop    atomic.Bool
		counts  = make([]int, w.callers)
		errs    = make([]error, w.callers)
	)
	if w.callers == 1 {
		latencies = make([]time.Duration, 0, 1<<17)
	}
	for i := range w.callers {
		callers.Go(func() {
			data := make([]byte, w.size)
			var count int
			var err error
			for last := time.Now(); err == nil && !stop.Load(); count++ {
				err = callOnce(f, timeout, data)
				if w.callers == 1 {
					now := time.Now()
					latencies = append(latencies, now.Sub(last))
					last = now
				}
			}
			counts[i], errs[i] = count, err
			if err != nil {
				stop.Store(true)
			}
		})
	}
	ended := make(chan struct{})
	go func() { callers.Wait(); close(ended) }()
	timer := time.AfterFunc(duration, func() { stop.Store(true) })
	defer timer.Stop()
	select {
	case <-ended:
	case <-time.After(duration + 10*time.Second):
		return 0, nil, errors.New("a call has not ended for ten seconds")
	}
	for _, count := range counts {
		calls += count
	}
	return calls, latencies, errors.Join(errs...)
}

// callOnce calls a client chosen at random.
func callOnce(f *fleet, timeout time.Duration, data []byte) error {
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	answer, err := f.caller.call(ctx, f.names[rand.IntN(len(f.names))], data)
	if err == nil && len(answer) != len(data) {
		err = fmt.Errorf("sent %d bytes and got %d back", len(data), len(answer))
	}
	return err
}

// costs are counters of this process and this machine.
type costs struct {
	mallocs, mallocBytes uint64
	systemCosts
}

// systemCosts is the part of costs that the operating system knows; zero where
// it does not tell.
type systemCosts struct {
	cpu      time.Duration // of this process
	syscalls uint64        // read and write, of this process
	busy     time.Duration // of the whole machine, time stolen by its host included
	total    time.Duration // of all the machine's CPUs
}

func readCosts() costs {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return costs{m.Mallocs, m.TotalAlloc, readSystemCosts()}
}

func (c costs) minus(b costs) costs {
	return costs{
		mallocs:     c.mallocs - b.mallocs,
		mallocBytes: c.mallocBytes - b.mallocBytes,
		systemCosts: systemCosts{
			cpu:      c.cpu - b.cpu,
			syscalls: c.syscalls - b.syscalls,
			busy:     c.busy - b.busy,
			total:    c.total - b.total,
		},
	}
}

// others is the share of the machine that went to other processes.
func (c costs) others() float64 {
	if c.total <= 0 {
		return 0
	}
	return max(0, float64(c.busy-c.cpu)/float64(c.total))
}
