package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// callers measures calls of more and more callers to one client.
func (g *growth) callers() ([]*curve, error) {
	rate := newCurve("callers-rate", "calls/s against callers", "callers (1 client, 100 B)", "calls/s", flat).ofRates()
	tail := newCurve("callers-p99", "p99 against callers", "callers (1 client, 100 B)", "p99 in µs", linear)
	fleets, err := g.start(1, false)
	if err != nil {
		return nil, err
	}
	for _, n := range powers(1, 1024, 4) {
		j := job{Clients: 1, Callers: n, Size: 100, Timeout: deadline, Timed: true}
		err = errors.Join(err, fleets.alternate(g, j, func(c contender, s sample) {
			rate.add(c.name, n, s.rate())
			tail.add(c.name, n, s.percentile(99))
		}))
	}
	return []*curve{rate, tail}, errors.Join(err, fleets.stop())
}

// payload measures calls with larger and larger messages. The largest are a little
// less than 4 MiB, so that gRPC's default limit lets them pass.
func (g *growth) payload() ([]*curve, error) {
	rate := newCurve("payload-rate", "calls/s against payload", "bytes (8 callers, 1 client)", "calls/s", linear).ofRates()
	tail := newCurve("payload-p99", "p99 against payload", "bytes (8 callers, 1 client)", "p99 in µs", linear)
	fleets, err := g.start(1, false)
	if err != nil {
		return nil, err
	}
	for _, n := range powers(16, 4<<20, 8) {
		j := job{Clients: 1, Callers: 8, Size: min(n, 4<<20-1<<10), Timeout: deadline, Timed: true}
		err = errors.Join(err, fleets.alternate(g, j, func(c contender, s sample) {
			rate.add(c.name, n, s.rate())
			tail.add(c.name, n, s.percentile(99))
		}))
	}
	return []*curve{rate, tail}, errors.Join(err, fleets.stop())
}

// clients measures more and more clients: how fast they all come, calls to them, and
// a call to each. They are in processes of their own.
func (g *growth) clients() ([]*curve, error) {
	rate := newCurve("clients-rate", "calls/s against clients", "clients (64 callers, 100 B)", "calls/s", flat).ofRates()
	tail := newCurve("clients-p99", "p99 against clients", "clients (64 callers, 100 B)", "p99 in µs", flat)
	storm := newCurve("storm", "connect storm", "clients that come at once", "sessions accepted per second", flat).ofRates()
	fan := newCurve("fanout", "fan-out", "clients that are called (64 at a time, 100 B)", "ms until the last answer", linear)
	var errs []error
	for _, n := range powers(1, g.most, 10) {
		fleets, err := g.start(n, true)
		if err != nil {
			return nil, err
		}
		for _, f := range fleets {
			if n >= 100 { // fewer are there before the clock has ticked
				storm.add(f.contender.name, n, float64(n)/f.connecting.Seconds())
			}
		}
		calling := job{Clients: n, Callers: 64, Size: 100, Timeout: deadline, Timed: true}
		fanning := job{Kind: fanout, Clients: n, Size: 100, Timeout: deadline}
		errs = append(errs,
			fleets.alternate(g, calling, func(c contender, s sample) {
				rate.add(c.name, n, s.rate())
				tail.add(c.name, n, s.percentile(99))
			}),
			fleets.alternate(g, fanning, func(c contender, s sample) {
				fan.add(c.name, n, s.Elapsed.Seconds()*1000)
			}),
			fleets.stop())
	}
	return []*curve{rate, tail, storm, fan}, errors.Join(errs...)
}

// memory measures what an idle client costs the server as there are more of them.
func (g *growth) memory() ([]*curve, error) {
	memory := newCurve("memory", "memory of an idle client", "clients", "KiB of the server, per client", flat)
	var errs []error
	for _, n := range powers(100, g.most, 10) {
		for _, c := range grown {
			g.say("memory of %d clients: %s", n, c.name)
			s, err := measureIdle(idleCase{contender: c}, n)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
				continue
			}
			memory.add(c.name, n, s.total()/1024)
		}
	}
	return []*curve{memory}, errors.Join(errs...)
}

// growthFleets are the fleets that are compared at one point.
type growthFleets []growthFleet

type growthFleet struct {
	*fleetProcess
	contender contender
}

// start starts a fleet of each contender.
func (g *growth) start(clients int, split bool) (all growthFleets, err error) {
	for _, c := range grown {
		g.say("start %s with %d clients", c.name, clients)
		p, err := startFleetProcess(task{Contender: c.name, Link: link{}.text(), Clients: clients, Split: split})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", c.name, err), all.stop())
		}
		all = append(all, growthFleet{p, c})
	}
	return all, nil
}

// alternate has all do a job in turns. What counts of each is its turn of the median
// rate: others may take the machine for a moment.
func (all growthFleets) alternate(g *growth, j job, each func(contender, sample)) error {
	const turns = 5
	var errs []error
	samples := make([][]sample, len(all))
	for turn := range turns {
		g.say("%d callers, %d clients, %d B: turn %d of %d", j.Callers, j.Clients, j.Size, turn+1, turns)
		for i, f := range all {
			s, err := f.take(j, g.sample/turns)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %+v: %w", f.contender.name, j, err))
				continue
			}
			samples[i] = append(samples[i], s)
		}
	}
	for i, f := range all {
		slices.SortFunc(samples[i], func(a, b sample) int { return cmp.Compare(a.rate(), b.rate()) })
		if n := len(samples[i]); n > 0 {
			each(f.contender, samples[i][n/2])
		}
	}
	return errors.Join(errs...)
}

// stop ends all at the same time.
func (all growthFleets) stop() error {
	var stopping sync.WaitGroup
	errs := make([]error, len(all))
	for i, f := range all {
		stopping.Go(func() { errs[i] = f.stop() })
	}
	stopping.Wait()
	return errors.Join(errs...)
}
