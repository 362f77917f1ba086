package page

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/pushtunnel/pushtunnel/server"
)

// sample is what a look at all sessions has found. It does not change, but for the
// documents that are made of it.
type sample struct {
	now      time.Time
	interval time.Duration // since the sample before; 0: there is none
	entries  []entry       // the oldest session first
	counts   counts
	totals   totals
	methods  []methodRow
	ends     []departure
	refusals []departure
	was      map[string]methodCount // methods so far

	// mu guards what follows, and lets one document be made at a time: however many
	// pages are open, they take one processor.
	mu        sync.Mutex
	documents map[query][]byte
}

// entry is a session at the time of a sample.
type entry struct {
	session  *server.Session
	sofar    carried
	inFlight int
	trip     time.Duration
	// A second, since the sample before:
	calls, received, sent float64
}

// carried is what a session has carried so far.
type carried struct{ calls, received, sent uint64 }

// counts only grow.
type counts struct{ came, went, denied, failed uint64 }

// methodCount is what a method had so far.
type methodCount struct{ ended, failed uint64 }

// look asks all sessions. before is the sample of a second ago, nil if there is none.
func (p *Page) look(now time.Time, before *sample) *sample {
	push := p.push.Load()
	s := &sample{now: now, documents: make(map[query][]byte)}
	s.counts = counts{came: p.recent.came.Load(), went: p.recent.went.Load(), denied: p.recent.denied.Load()}
	var past []entry
	if before != nil {
		s.interval, past = now.Sub(before.now), before.entries
	}
	numbers := push.Numbers()
	s.entries = make([]entry, 0, numbers.Sessions+numbers.Sessions/64)
	for session := range push.All() {
		t := session.Traffic()
		e := entry{session: session, inFlight: session.InFlight(), trip: session.RoundTrip(), sofar: carried{t.Calls, t.Received, t.Sent}}
		// Both samples are in the order in which the sessions came.
		for len(past) > 0 && past[0].session.Revision() < session.Revision() {
			past = past[1:]
		}
		if before != nil {
			var was carried // nothing, if it has come since
			if len(past) > 0 && past[0].session == session {
				was = past[0].sofar
			}
			e.calls = s.rate(e.sofar.calls, was.calls)
			e.received = s.rate(e.sofar.received, was.received)
			e.sent = s.rate(e.sofar.sent, was.sent)
		}
		s.totals.add(&e, t.Queued)
		s.entries = append(s.entries, e)
	}
	if p.opts.methods != nil {
		s.countMethods(p.opts.methods(), before)
	}
	s.totals.finish(s, before, numbers)
	s.totals.Memory, s.totals.MemoryLimit = push.Memory()
	s.ends, s.refusals = p.recent.lists()
	return s
}

// rate returns how much something grows in a second.
func (s *sample) rate(now, before uint64) float64 {
	if now <= before || s.interval <= 0 {
		return 0
	}
	return math.Round(float64(now-before)/s.interval.Seconds()*100) / 100
}

// totals are of all sessions. Rates are for a second, durations in milliseconds.
type totals struct {
	Sessions    int     `json:"sessions"`
	Ending      int     `json:"ending"`
	Names       int     `json:"names"`
	Waiting     int     `json:"waiting"`
	InFlight    int     `json:"inFlight"`
	Calls       float64 `json:"calls"`
	Errors      float64 `json:"errors"`
	Received    float64 `json:"received"`
	Sent        float64 `json:"sent"`
	Queued      int64   `json:"queued"`
	Connects    float64 `json:"connects"`
	Disconnects float64 `json:"disconnects"`
	Refusals    float64 `json:"refusals"`
	Memory      int64   `json:"memory"`
	MemoryLimit int64   `json:"memoryLimit"`
	Trips       trips   `json:"trips"`

	Protocols  []share `json:"protocols"`
	Namespaces []share `json:"namespaces"`

	roundTrips            []time.Duration
	protocols, namespaces tally
}

// trips are round trips: of each session the last one.
type trips struct {
	Sessions int     `json:"sessions"` // that have one
	P50      float64 `json:"p50"`
	P90      float64 `json:"p90"`
	P99      float64 `json:"p99"`
	Max      float64 `json:"max"`
}

func (t *totals) add(e *entry, queued int64) {
	t.InFlight += e.inFlight
	t.Calls += e.calls
	t.Received += e.received
	t.Sent += e.sent
	t.Queued += queued
	if e.trip > 0 {
		t.roundTrips = append(t.roundTrips, e.trip)
	}
	t.protocols.add(e.session.Peer().Protocol)
	t.namespaces.add(e.session.Namespace())
}

func (t *totals) finish(s, before *sample, n server.Numbers) {
	t.Sessions, t.Ending, t.Names, t.Waiting = len(s.entries), n.Ending, n.Names, n.Waiting
	if before != nil {
		t.Connects = s.rate(s.counts.came, before.counts.came)
		t.Disconnects = s.rate(s.counts.went, before.counts.went)
		t.Refusals = s.rate(s.counts.denied, before.counts.denied)
		t.Errors = s.rate(s.counts.failed, before.counts.failed)
	}
	if all := t.roundTrips; len(all) > 0 {
		slices.Sort(all)
		at := func(q float64) float64 { return milliseconds(all[int(q*float64(len(all)-1)+.5)]) }
		t.Trips = trips{len(all), at(.5), at(.9), at(.99), at(1)}
	}
	t.roundTrips = nil
	t.Protocols, t.Namespaces = t.protocols.shares(), t.namespaces.shares()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// countMethods notes what the calls of each method are at.
func (s *sample) countMethods(methods []Method, before *sample) {
	s.was = make(map[string]methodCount, len(methods))
	s.methods = make([]methodRow, 0, len(methods))
	for _, m := range methods {
		s.was[m.Name] = methodCount{m.Ended, m.Failed}
		s.counts.failed += m.Failed
		row := methodRow{Name: clip(m.Name), InFlight: m.InFlight, Ended: m.Ended, Failed: m.Failed}
		if before != nil {
			was := before.was[m.Name] // nothing, if it is new
			row.Calls, row.Errors = s.rate(m.Ended, was.ended), s.rate(m.Failed, was.failed)
		}
		s.methods = append(s.methods, row)
	}
	slices.SortFunc(s.methods, methodRow.compare)
	s.methods = s.methods[:min(len(s.methods), maxMethods)]
}
