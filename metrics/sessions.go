package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pushtunnel/pushtunnel/metrics/internal/label"
	"github.com/pushtunnel/pushtunnel/server"
)

// reasons are those why a session may have ended.
var reasons = []server.Reason{
	server.ReasonLeft, server.ReasonLost, server.ReasonSilent, server.ReasonReplaced,
	server.ReasonClosed, server.ReasonProtocol, server.ReasonLimit,
}

// sessions counts the sessions that come and go, and knows those that are there.
type sessions struct {
	limits     *limits
	roundTrips *prometheus.HistogramVec

	// mu guards what follows. A collection holds it, so that a session is counted
	// either among those that are there or among those that have gone.
	mu         sync.Mutex
	live       map[*server.Session]*entry
	namespaces *label.Table[string]
	groups     map[groupKey]*group
	protocols  map[string]*protocol
}

// entry is a session that is there.
type entry struct {
	group    *group
	protocol *protocol
	trip     time.Duration // the round trip that was observed last
}

type groupKey struct{ protocol, namespace string }

// group is the sessions of a protocol and a namespace.
type group struct {
	came           uint64
	received, sent uint64 // bytes, of those that have gone
	now            present
}

// present is the sessions of a group that are there, as the last collection has
// found them.
type present struct {
	sessions, calls int
	received, sent  uint64
	queued          int64
}

// protocol is the clients of a protocol.
type protocol struct {
	name     string
	sessions bool                // there were some
	trips    prometheus.Observer // nil before the first
	ended    map[server.Reason]uint64
	refused  [label.Codes]uint64
}

func newSessions(o *options, l *limits) *sessions {
	return &sessions{
		limits: l,
		roundTrips: histogram("round_trip_seconds", "How long heartbeats took to come back: for each session the last one before a scrape, once.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, "protocol"),
		live:       make(map[*server.Session]*entry),
		namespaces: label.NewTable(o.maxNamespaces, func(value string) *string { return &value }),
		groups:     make(map[groupKey]*group),
		protocols:  make(map[string]*protocol),
	}
}

func (s *sessions) connected(session *server.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := groupKey{label.Valid(session.Peer().Protocol), *s.namespaces.Get(session.Namespace())}
	g := s.groups[key]
	if g == nil {
		g = &group{}
		s.groups[key] = g
	}
	p := s.protocol(key.protocol)
	p.sessions = true
	g.came++
	s.live[session] = &entry{group: g, protocol: p}
}

func (s *sessions) disconnected(session *server.Session, reason error) {
	s.limits.note(reason)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.live[session]
	if e == nil {
		return // it was counted out already
	}
	delete(s.live, session)
	e.protocol.ended[server.ReasonOf(reason)]++
	carried := session.Traffic()
	e.group.received += carried.Received
	e.group.sent += carried.Sent
}

func (s *sessions) refused(c server.Candidate, reason error) {
	s.limits.refusal(reason)
	name := label.Valid(c.Protocol)
	if name == "" {
		name = "unknown" // it was not clear yet
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.protocol(name).refused[label.CodeOf(reason)]++
}

// protocol returns what is known of a protocol. s.mu is held.
func (s *sessions) protocol(name string) *protocol {
	p := s.protocols[name]
	if p == nil {
		p = &protocol{name: name, ended: make(map[server.Reason]uint64, len(reasons))}
		s.protocols[name] = p
	}
	return p
}

func (p *protocol) observe(trips *prometheus.HistogramVec, trip time.Duration) {
	if p.trips == nil { // a protocol without heartbeats has no series
		p.trips = trips.WithLabelValues(p.name)
	}
	p.trips.Observe(trip.Seconds())
}

var (
	sessionsNow = desc("sessions", "Sessions that are open, those that take no more calls included.", "protocol", "namespace")
	connects    = desc("connects_total", "Sessions that have come.", "protocol", "namespace")
	disconnects = desc("disconnects_total", "Sessions that have ended, by why.", "protocol", "reason")
	refusals    = desc("refusals_total", "Clients and connections that were not let in, by status code.", "protocol", "code")
	callsOn     = desc("session_calls_in_flight", "Calls under way on sessions, those of native clients to the server included.", "protocol", "namespace")
	received    = desc("received_bytes_total", "Bytes from clients on sessions, with what the protocol adds.", "protocol", "namespace")
	sent        = desc("sent_bytes_total", "Bytes to clients on sessions, with what the protocol adds.", "protocol", "namespace")
	queued      = desc("queued_bytes", "Bytes of messages that wait to be sent to clients.", "protocol", "namespace")
)

func (s *sessions) collect(ch chan<- prometheus.Metric) {
	for _, m := range s.now() {
		ch <- m
	}
	s.roundTrips.Collect(ch)
}

// now asks all sessions.
func (s *sessions) now() []prometheus.Metric {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		g.now = present{received: g.received, sent: g.sent}
	}
	for session, e := range s.live {
		carried := session.Traffic()
		now := &e.group.now
		now.sessions++
		now.calls += session.InFlight()
		now.received += carried.Received
		now.sent += carried.Sent
		now.queued += carried.Queued
		if trip := session.RoundTrip(); trip != e.trip {
			e.trip = trip
			e.protocol.observe(s.roundTrips, trip)
		}
	}
	metrics := make([]prometheus.Metric, 0, 7*len(s.groups)+(len(reasons)+label.Codes)*len(s.protocols))
	for key, g := range s.groups {
		by := []string{key.protocol, key.namespace}
		metrics = append(metrics,
			gauge(sessionsNow, float64(g.now.sessions), by...),
			counter(connects, g.came, by...),
			gauge(callsOn, float64(g.now.calls), by...),
			counter(received, g.now.received, by...),
			counter(sent, g.now.sent, by...),
			gauge(queued, float64(g.now.queued), by...),
		)
	}
	for name, p := range s.protocols {
		for _, reason := range reasons {
			if p.sessions {
				metrics = append(metrics, counter(disconnects, p.ended[reason], name, string(reason)))
			}
		}
		for code, n := range p.refused {
			if n > 0 {
				metrics = append(metrics, counter(refusals, n, name, label.Code(code).String()))
			}
		}
	}
	return metrics
}
