package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// fleetProcess is a process that holds a fleet and does jobs, one at a time.
type fleetProcess struct {
	*role
	connecting time.Duration // how long it took until all clients were there
}

// An order is what it is told.
type order struct {
	Job      job
	Duration time.Duration
}

// An answer is what it says, at first and then to each order.
type answer struct {
	Sample     sample
	Connecting time.Duration
	Err        string
}

// startFleetProcess returns when all clients are connected.
func startFleetProcess(t task) (*fleetProcess, error) {
	r, err := startRole(roleFleet, t)
	if err != nil {
		return nil, err
	}
	a, err := r.answer()
	if err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return &fleetProcess{r, a.Connecting}, nil
}

// answer reads one.
func (r *role) answer() (a answer, err error) {
	if err := r.read(&a); err != nil {
		return a, err
	}
	if a.Err != "" {
		return a, errors.New(a.Err)
	}
	return a, nil
}

// take has the fleet do a job for about duration, after a little of it that does
// not count.
func (p *fleetProcess) take(j job, duration time.Duration) (sample, error) {
	if err := p.tell(order{j, duration}); err != nil {
		return sample{}, err
	}
	a, err := p.answer()
	return a.Sample, err
}

// playFleet is the other side of fleetProcess.
func playFleet(c contender, l link, t task, in *json.Decoder, out *json.Encoder) (err error) {
	start := startFleet
	if t.Split {
		start = startSplitFleet
	}
	f, err := start(c, l, t.Clients)
	if err != nil {
		return out.Encode(answer{Err: err.Error()})
	}
	defer func() { err = errors.Join(err, f.close()) }()
	a := answer{Connecting: f.connecting}
	for {
		if err := out.Encode(a); err != nil {
			return err
		}
		var o order
		switch err := in.Decode(&o); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		a = answer{}
		if a.Sample, err = f.obey(o); err != nil {
			a.Err = err.Error()
		}
	}
}

// obey carries out an order. What was idle for a while has to wake up first.
func (f *fleet) obey(o order) (sample, error) {
	if k := o.Job.Kind; k != beside && k != fanout {
		if _, err := f.do(o.Job, o.Duration/5); err != nil {
			return sample{}, fmt.Errorf("warm-up: %w", err)
		}
	}
	return f.take(o.Job, o.Duration)
}
