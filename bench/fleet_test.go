package main

import (
	"testing"
	"time"
)

// Every fleet can do every job that its entrant says it can.
func TestFleetsDoTheirJobs(t *testing.T) {
	for _, e := range entrants {
		t.Run(e.name(), func(t *testing.T) {
			f, err := startFleet(e.contender, e.link, 3)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := f.close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			for _, j := range []job{
				{Kind: calls, Callers: 1, Size: 100, Timed: true},
				{Kind: calls, Callers: 3, Size: 100, Timeout: time.Minute},
				{Kind: download, Size: 100},
				{Kind: upload, Size: 64 << 10},
				{Kind: beside, Callers: 2, Size: 100, Timed: true},
				{Kind: fanout, Size: 100},
			} {
				if !e.can(j) {
					continue
				}
				s, err := f.take(j, time.Millisecond)
				if err != nil {
					t.Errorf("%+v: %v", j, err)
					continue
				}
				if s.Ops == 0 || s.Elapsed == 0 || j.Timed && len(s.Latencies) != s.Ops {
					t.Errorf("%+v: a sample of %d operations, %d latencies, %v", j, s.Ops, len(s.Latencies), s.Elapsed)
				}
			}
		})
	}
}

// A fleet in several processes makes calls, too.
func TestSplitFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, c := range []contender{plainGRPC, pushTunnel, pushDirect, nativeProtocol} {
		t.Run(c.name, func(t *testing.T) {
			p, err := startFleetProcess(task{Contender: c.name, Link: link{}.text(), Clients: 20, Split: true})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := p.stop(); err != nil {
					t.Errorf("stop: %v", err)
				}
			}()
			if p.connecting <= 0 {
				t.Errorf("connecting took %v", p.connecting)
			}
			for _, j := range []job{{Kind: calls, Callers: 2, Size: 100}, {Kind: fanout, Size: 100}} {
				if s, err := p.take(j, time.Millisecond); err != nil || s.Ops == 0 {
					t.Errorf("%+v: got %d operations and %v", j, s.Ops, err)
				}
			}
		})
	}
}
