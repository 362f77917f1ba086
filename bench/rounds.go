package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// A plan says how the measurement is done.
type plan struct {
	rounds      int
	slices      int           // how often the contenders alternate in a round
	sample      time.Duration // how long each is measured in a round, in all
	idleClients int           // over how many the memory is measured
	retakes     time.Duration // time to spend, in all, on rounds taken again
	workloads   []workload
	entrants    []entrant
	idleCases   []idleCase
	progress    io.Writer
}

// A result is what became of a plan.
type result struct {
	plan      plan
	started   time.Time
	elapsed   time.Duration
	cases     []*caseResult
	idle      []idleSample // as plan.idleCases
	rounds    int
	disturbed int // rounds during which others took more than tolerated
	errs      []error
}

// tolerated is the share of the machine that others may take during a round.
const tolerated = 0.10

// run carries out p. Errors end up in the result, which says what could be
// measured all the same.
func run(p plan) *result {
	r := &result{plan: p, started: time.Now()}
	for _, w := range p.workloads {
		c := &caseResult{workload: w, samples: make(map[string][]sample)}
		for _, e := range p.entrants {
			if e.can(w.job) {
				c.entrants = append(c.entrants, e)
			}
		}
		r.cases = append(r.cases, c)
	}
	// Cases that are about as many clients share the processes.
	var done []int
	for _, w := range p.workloads {
		if clients := w.job.Clients; !slices.Contains(done, clients) {
			done = append(done, clients)
			r.measureCases(clients)
		}
	}
	for _, c := range p.idleCases {
		r.progress("%s: %s", idleCaseName, c.name())
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

func (r *result) progress(format string, args ...any) {
	fmt.Fprintf(r.plan.progress, "\r\033[K%4.0fs  ", time.Since(r.started).Seconds())
	fmt.Fprintf(r.plan.progress, format, args...)
}

// measureCases measures the cases about so many clients. Each entrant has a
// process of its own, with both ends of its connections, that is there all the
// time and idle while others are measured.
func (r *result) measureCases(clients int) {
	processes := make(map[string]*fleetProcess)
	defer func() {
		for name, p := range processes {
			if err := p.stop(); err != nil {
				r.errs = append(r.errs, fmt.Errorf("%s: close: %w", name, err))
			}
		}
	}()
	for _, c := range r.cases {
		if c.workload.job.Clients != clients {
			continue
		}
		for _, e := range c.entrants {
			if processes[e.name()] != nil {
				continue
			}
			r.progress("start %s with %d clients", e.name(), clients)
			p, err := startFleetProcess(task{Contender: e.contender.name, Link: e.link.text(), Clients: clients})
			if err != nil {
				r.errs = append(r.errs, fmt.Errorf("%s: %w", e.name(), err))
				continue
			}
			processes[e.name()] = p
		}
		r.measureCase(c, processes)
	}
}

// measureCase measures one case. An entrant that fails is out of it.
func (r *result) measureCase(c *caseResult, processes map[string]*fleetProcess) {
	left := slices.Clone(c.entrants)
	take := func(e entrant, duration time.Duration) (s sample, ok bool) {
		s, err := processes[e.name()].take(c.workload.job, duration)
		if err != nil {
			r.errs = append(r.errs, fmt.Errorf("%s: %s: %w", c.workload.name, e.name(), err))
			left = slices.DeleteFunc(left, func(o entrant) bool { return o.name() == e.name() })
			delete(c.samples, e.name())
		}
		return s, err == nil
	}
	left = slices.DeleteFunc(left, func(e entrant) bool { return processes[e.name()] == nil })
	const warmUp = 250 * time.Millisecond
	for _, e := range slices.Clone(left) {
		take(e, min(warmUp, r.plan.sample))
	}
	turn := 0
	round := func() (samples map[string]sample, others float64) {
		samples = make(map[string]sample)
		var all costs
		for range r.plan.slices {
			turn++
			order := slices.Clone(left)
			for i := range order {
				// Each time another entrant begins, and the reference does not
				// always meet the same neighbours.
				e := order[(i+turn)%len(order)]
				if s, ok := take(e, r.plan.sample/time.Duration(r.plan.slices)); ok {
					samples[e.name()] = samples[e.name()].plus(s)
					all = all.plus(s.Costs)
				}
			}
		}
		return samples, all.others()
	}
	for n := range r.plan.rounds {
		r.progress("%s: round %d of %d", c.workload.name, n+1, r.plan.rounds)
		samples, others := r.quietest(round)
		for _, e := range left {
			c.samples[e.name()] = append(c.samples[e.name()], samples[e.name()])
		}
		r.rounds++
		if others > tolerated {
			r.disturbed++
		}
	}
}

// quietest takes a round. If the machine was not quiet it takes it again, as long as
// there is time for that, and returns the quietest.
func (r *result) quietest(round func() (map[string]sample, float64)) (best map[string]sample, others float64) {
	const tries = 3
	others = 2
	for try := range tries {
		started := time.Now()
		if samples, o := round(); o < others {
			best, others = samples, o
		}
		if try > 0 {
			r.plan.retakes -= time.Since(started)
		}
		if others <= tolerated || r.plan.retakes <= 0 {
			break
		}
	}
	return best, others
}

// failed returns all that went wrong.
func (r *result) failed() error { return errors.Join(r.errs...) }
