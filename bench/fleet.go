package main

import (
	"errors"
	"fmt"
	"time"
)

// A fleet is both ends of a contender, connected. It does one job at a time.
type fleet struct {
	names  []string
	caller *end // the end that makes the calls
	close  func() error

	connecting time.Duration   // how long it took for all to be there
	rates      map[job]float64 // of messages in streams, the last time
}

// startFleet connects as many clients as asked for, with both ends in this
// process. It fails if not all of them are there within half a minute.
func startFleet(c contender, l link, clients int) (_ *fleet, err error) {
	var ends []*end
	stop := func() error {
		var errs []error
		for i := len(ends) - 1; i >= 0; i-- { // the clients first
			errs = append(errs, ends[i].close())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start %s with %d clients: %w", c.name, clients, err), stop())
		}
	}()
	accept, err := c.listen(l)
	if err != nil {
		return nil, err
	}
	ends = append(ends, accept)
	f := newFleet(clients)
	started := time.Now()
	dialled, err := c.connect(l, accept.addr, f.names)
	if err != nil {
		return nil, err
	}
	ends = append(ends, dialled)
	if err := awaitClients(accept, clients); err != nil {
		return nil, err
	}
	f.connecting = time.Since(started)
	f.caller, f.close = accept, stop
	if c.dials {
		f.caller = dialled
	}
	return f, nil
}

func newFleet(clients int) *fleet {
	return &fleet{names: clientNames(0, clients), rates: make(map[job]float64)}
}
