package main

import (
	"errors"
	"slices"
	"time"
)

// A sample is what a fleet did in some time, and what it cost. Costs are of both
// ends together, for they share the process. Samples can be added up.
type sample struct {
	Ops       int             // calls that have ended, or messages that have arrived
	Elapsed   time.Duration   // in all
	Latencies []time.Duration // of each call, if the job says so
	Moved     int64           // bytes that a stream has sent beside the calls
	Costs     costs
}

// plus returns both samples as one.
func (s sample) plus(o sample) sample {
	return sample{
		Ops:       s.Ops + o.Ops,
		Elapsed:   s.Elapsed + o.Elapsed,
		Latencies: slices.Concat(s.Latencies, o.Latencies),
		Moved:     s.Moved + o.Moved,
		Costs:     s.Costs.plus(o.Costs),
	}
}

// rate is how many operations there were per second.
func (s sample) rate() float64 { return float64(s.Ops) / s.Elapsed.Seconds() }

// moved is how many bytes per second a stream has sent beside the calls.
func (s sample) moved() float64 { return float64(s.Moved) / s.Elapsed.Seconds() }

// percentile returns what p percent of the latencies do not exceed, in
// microseconds.
func (s sample) percentile(p int) float64 {
	return micros(percentile(slices.Sorted(slices.Values(s.Latencies)), p))
}

// Costs per operation.
func (s sample) allocs() float64   { return float64(s.Costs.Mallocs) / float64(s.Ops) }
func (s sample) bytes() float64    { return float64(s.Costs.MallocBytes) / float64(s.Ops) }
func (s sample) cpu() float64      { return micros(s.Costs.CPU) / float64(s.Ops) }
func (s sample) syscalls() float64 { return float64(s.Costs.Syscalls) / float64(s.Ops) }

// errNoOps means that nothing was done within the time of a sample.
var errNoOps = errors.New("nothing ended in time")

// take has f do a job for about duration and measures it.
func (f *fleet) take(j job, duration time.Duration) (sample, error) {
	before := readCosts()
	s, err := f.do(j, duration)
	if err != nil {
		return sample{}, err
	}
	if s.Ops == 0 {
		return sample{}, errNoOps
	}
	s.Costs = readCosts().minus(before)
	return s, nil
}

// do has f do a job for about duration. The first error ends it.
func (f *fleet) do(j job, duration time.Duration) (sample, error) {
	switch j.Kind {
	case download, upload:
		return f.stream(j, duration)
	case beside:
		return f.callBeside(j)
	case fanout:
		return f.fanOut(j)
	default:
		return f.callFor(j, duration)
	}
}
