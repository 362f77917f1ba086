package page

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
)

const (
	maxMethods = 20
	maxLabels  = 8 // of a session
)

// document is what a page shows.
type document struct {
	Time     int64       `json:"time"`    // Unix, ms
	Rates    bool        `json:"rates"`   // false: there are none yet
	Counted  bool        `json:"counted"` // methods and errors are
	Totals   *totals     `json:"totals"`
	Matched  int         `json:"matched"`
	Sessions []row       `json:"rows"` // maxRows at most
	Methods  []methodRow `json:"methods"`
	Ends     []departure `json:"ends"`
	Refusals []departure `json:"refusals"`
}

// row is a session.
type row struct {
	Number    uint64      `json:"n"` // no other session has it
	Name      string      `json:"name"`
	Namespace string      `json:"namespace,omitempty"`
	Session   string      `json:"session,omitempty"` // the beginning of its id
	Subject   string      `json:"subject,omitempty"`
	Protocol  string      `json:"protocol"`
	Address   string      `json:"address,omitempty"`
	Labels    [][2]string `json:"labels,omitempty"`
	More      int         `json:"more,omitempty"` // labels that are not shown
	Since     int64       `json:"since"`          // Unix, ms
	InFlight  int         `json:"inFlight"`
	Calls     float64     `json:"calls"`
	Received  float64     `json:"received"`
	Sent      float64     `json:"sent"`
	Total     uint64      `json:"total"` // calls so far
	Trip      float64     `json:"trip,omitempty"`
}

// methodRow is the calls of a method.
type methodRow struct {
	Name     string  `json:"name"`
	InFlight int64   `json:"inFlight"`
	Calls    float64 `json:"calls"`
	Errors   float64 `json:"errors"`
	Ended    uint64  `json:"ended"`
	Failed   uint64  `json:"failed"`
}

// compare puts the busiest first.
func (m methodRow) compare(o methodRow) int {
	return cmp.Or(cmp.Compare(o.InFlight, m.InFlight), cmp.Compare(o.Calls, m.Calls), cmp.Compare(o.Ended, m.Ended), cmp.Compare(m.Name, o.Name))
}

// document returns the message with what a page shows that asks for q. Pages that ask
// for the same get the same bytes.
func (s *sample) document(q query) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if made, ok := s.documents[q]; ok {
		return made
	}
	top, matched := s.top(q)
	d := document{
		Time: s.now.UnixMilli(), Rates: s.interval > 0, Counted: s.was != nil, Totals: &s.totals, Matched: matched,
		Sessions: make([]row, 0, len(top)), Methods: s.methods, Ends: s.ends, Refusals: s.refusals,
	}
	for _, e := range top {
		d.Sessions = append(d.Sessions, e.row())
	}
	body, err := json.Marshal(d)
	if err != nil {
		panic(err) //nolint:forbidigo // all of it can be JSON
	}
	made := slices.Concat([]byte("data: "), body, []byte("\n\n"))
	s.documents[q] = made
	return made
}

// top returns the first sessions of those that a query asks for, and how many it asks for.
func (s *sample) top(q query) (top []*entry, matched int) {
	m, order := q.matcher(s.now), orders[q.sort].compare
	compare := func(a, b *entry) int {
		c := order(a, b)
		if !q.ascending {
			c = -c
		}
		return cmp.Or(c, cmp.Compare(a.session.Revision(), b.session.Revision()))
	}
	top = make([]*entry, 0, maxRows+1)
	for i := range s.entries {
		e := &s.entries[i]
		if !m.matches(e) {
			continue
		}
		matched++
		if len(top) == maxRows && compare(top[maxRows-1], e) < 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(top, e, compare)
		top = slices.Insert(top, at, e)
		top = top[:min(len(top), maxRows)]
	}
	return top, matched
}

func (e *entry) row() row {
	p := e.session.Peer()
	r := row{
		Number: e.session.Revision(), Name: clip(p.Name), Namespace: clip(p.Namespace), Session: short(p.Session),
		Subject: clip(p.Subject), Protocol: clip(p.Protocol), Since: e.session.Since().UnixMilli(),
		InFlight: e.inFlight, Calls: e.calls, Received: e.received, Sent: e.sent, Total: e.sofar.calls, Trip: milliseconds(e.trip),
	}
	if p.Addr != nil {
		r.Address = clip(p.Addr.String())
	}
	for _, k := range slices.Sorted(maps.Keys(p.Labels)) {
		if len(r.Labels) == maxLabels {
			r.More = len(p.Labels) - maxLabels
			break
		}
		r.Labels = append(r.Labels, [2]string{clip(k), clip(p.Labels[k])})
	}
	return r
}
