package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// startSplitFleet is startFleet with the end that does not call in processes of
// its own: so it takes more clients, and costs are of one end.
func startSplitFleet(c contender, l link, clients int) (*fleet, error) {
	f := newFleet(clients)
	start := f.listenAndAwait
	if c.dials {
		start = f.dialAll
	}
	if err := start(c, l); err != nil {
		return nil, fmt.Errorf("start %s with %d clients: %w", c.name, clients, err)
	}
	return f, nil
}

// listenAndAwait makes a fleet of which this process has the end that listens.
func (f *fleet) listenAndAwait(c contender, l link) error {
	accept, err := c.listen(l)
	if err != nil {
		return err
	}
	clients, err := startClients(task{Contender: c.name, Link: l.text(), Clients: len(f.names), Addr: accept.addr})
	if err != nil {
		return errors.Join(err, accept.close())
	}
	f.caller = accept
	f.close = func() error { return errors.Join(clients.stop(), accept.close()) }
	if err := clients.connect(0, 0); err != nil {
		return errors.Join(err, f.close())
	}
	started := time.Now()
	err = clients.connect(0, len(f.names))
	if err == nil {
		err = awaitClients(accept, len(f.names))
	}
	f.connecting = time.Since(started)
	if err != nil {
		err = errors.Join(err, f.close())
	}
	return err
}

// dialAll makes a fleet of which this process has the end that dials.
func (f *fleet) dialAll(c contender, l link) error {
	listener, err := startRole(roleListen, task{Contender: c.name, Link: l.text()})
	if err != nil {
		return err
	}
	var addr string
	if err := listener.read(&addr); err != nil {
		return errors.Join(err, listener.stop())
	}
	started := time.Now()
	f.caller, err = c.connect(l, addr, f.names)
	f.connecting = time.Since(started)
	if err != nil {
		return errors.Join(err, listener.stop())
	}
	f.close = func() error { return errors.Join(f.caller.close(), listener.stop()) }
	return nil
}

// playListener listens until its input ends.
func playListener(c contender, l link, in *json.Decoder, out *json.Encoder) (err error) {
	e, err := c.listen(l)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := out.Encode(e.addr); err != nil {
		return err
	}
	var nothing any
	if err := in.Decode(&nothing); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
