package main

import (
	"encoding/json"
	"errors"
	"io"
)

// clientsPerProcess is how many clients one process holds at most: about as many as
// it may commonly have files open. They are in as few processes as possible, because
// with two processors a call to one of four processes costs half as much again as a
// call to the only one.
const clientsPerProcess = 10000

// clientsProcesses hold the clients, as the process that listens sees them.
type clientsProcesses []*role

// A span is clients to connect.
type span struct{ First, Count int }

// spans divides count clients among processes.
func spans(first, count, processes int) []span {
	var all []span
	for i := range processes {
		n := count / processes
		if i < count%processes {
			n++
		}
		all = append(all, span{first, n})
		first += n
	}
	return all
}

// startClients starts the processes that t.Clients clients need.
func startClients(t task) (all clientsProcesses, err error) {
	for range max(1, (t.Clients+clientsPerProcess-1)/clientsPerProcess) {
		r, err := startRole(roleClients, t)
		if err != nil {
			return nil, errors.Join(err, all.stop())
		}
		all = append(all, r)
	}
	return all, nil
}

// connect connects clients in all processes at the same time, and returns when
// they are connected as far as they can tell. With none to connect it returns when
// the processes are there.
func (all clientsProcesses) connect(first, count int) error {
	for i, s := range spans(first, count, len(all)) {
		if err := all[i].tell(s); err != nil {
			return err
		}
	}
	var errs []error
	for _, r := range all {
		_, err := r.answer()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (all clientsProcesses) stop() error {
	var errs []error
	for _, r := range all {
		errs = append(errs, r.stop())
	}
	return errors.Join(errs...)
}

// playClients is the other side of one of them.
func playClients(c contender, l link, t task, in *json.Decoder, out *json.Encoder) (err error) {
	var ends []*end
	defer func() {
		for _, e := range ends {
			err = errors.Join(err, e.close())
		}
	}()
	for {
		var s span
		switch err := in.Decode(&s); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		var a answer
		if e, err := c.connect(l, t.Addr, clientNames(s.First, s.Count)); err != nil {
			a.Err = err.Error()
		} else {
			ends = append(ends, e)
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}
