package main

import (
	"fmt"
	"io"
	"runtime"
	"time"
)

// A plan says how the measurement is done.
type plan struct {
	rounds      int
	sample      time.Duration // how long one sample takes
	idleClients int           // over how many the memory is measured
	retakes     time.Duration // time to spend, in all, on samples taken again
	workloads   []workload
	entrants    []entrant
	idleCases   []idleCase
	progress    io.Writer
}

// A series is the samples of one entrant in one case, by round. A round that
// failed has no sample.
type series map[int]sample

// A result is what became of a plan.
type result struct {
	plan      plan
	started   time.Time
	elapsed   time.Duration
	series    map[string]map[string]series // by workload's and entrant's name
	idle      []idleSample                 // as plan.idleCases
	samples   int
	disturbed int // samples during which others took more than tolerated
	errs      []error
}

// tolerated is the share of the machine that others may take during a sample.
const tolerated = 0.10

// run carries out p. Errors end up in the result, which says what could be
// measured all the same.
func run(p plan) *result {
	r := &result{plan: p, started: time.Now(), series: make(map[string]map[string]series)}
	for _, w := range p.workloads {
		r.series[w.name] = make(map[string]series)
		for _, e := range p.entrants {
			r.series[w.name][e.name()] = make(series)
		}
	}
	for round := range p.rounds {
		for _, w := range p.workloads {
			fmt.Fprintf(p.progress, "\r\033[K%4.0fs  round %d of %d: %s", time.Since(r.started).Seconds(), round+1, p.rounds, w.name)
			for i := range p.entrants {
				// Each round another entrant begins, and the reference does
				// not always meet the same neighbours.
				r.measure(round, w, p.entrants[(i+round)%len(p.entrants)])
			}
		}
	}
	for _, c := range p.idleCases {
		fmt.Fprintf(p.progress, "\r\033[K%4.0fs  %s: %s", time.Since(r.started).Seconds(), idleCaseName, c.name())
		s, err := measureIdle(c, p.idleClients)
		if err != nil {
			r.errs = append(r.errs, fmt.Errorf("%s: %s: %w", idleCaseName, c.name(), err))
		}
		r.idle = append(r.idle, s)
	}
	fmt.Fprint(p.progress, "\r\033[K")
	r.elapsed = time.Since(r.started)
	return r
}

// measure takes the sample of one entrant in one case and round. If the machine
// was not quiet it takes it again, as long as there is time for that, and keeps
// the quietest.
func (r *result) measure(round int, w workload, e entrant) {
	const tries = 3
	fail := func(err error) {
		r.errs = append(r.errs, fmt.Errorf("%s: %s: %w", w.name, e.name(), err))
	}
	f, err := startFleet(e.contender, e.link, w.clients)
	if err != nil {
		fail(err)
		return
	}
	defer func() {
		if err := f.close(); err != nil {
			fail(fmt.Errorf("close: %w", err))
		}
	}()
	if err := warmUp(f, w, e, r.plan.sample); err != nil {
		fail(fmt.Errorf("warm-up: %w", err))
		return
	}
	best := sample{others: 1}
	for try := range tries {
		if try > 0 {
			if r.plan.retakes <= 0 {
				break
			}
			r.plan.retakes -= r.plan.sample
		}
		s, err := take(f, w, e.timeout, r.plan.sample)
		if err != nil {
			fail(err)
			return
		}
		if s.others < best.others {
			best = s
		}
		if best.others <= tolerated {
			break
		}
	}
	r.samples++
	if best.others > tolerated {
		r.disturbed++
	}
	r.series[w.name][e.name()][round] = best
}

// warmUp makes calls until pools, stacks and connections are as they will be.
func warmUp(f *fleet, w workload, e entrant, duration time.Duration) error {
	if w.clients == 1 {
		duration /= 2
	}
	runtime.GC() // what the fleet before has left
	_, _, err := drive(f, w, e.timeout, duration)
	return err
}

// ratios returns the spread of an entrant's ratios to the reference in the same
// round.
func (r *result) ratios(w workload, e entrant) spread {
	var ratios []float64
	for round, s := range r.series[w.name][e.name()] {
		if base, ok := r.series[w.name][reference.name()][round]; ok {
			ratios = append(ratios, s.figure(w)/base.figure(w))
		}
	}
	return spreadOf(ratios)
}

// median returns the median over rounds of what of picks.
func (s series) median(of func(sample) float64) float64 {
	var values []float64
	for _, v := range s {
		values = append(values, of(v))
	}
	return median(values)
}
