package page

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/pushtunnel/pushtunnel/server"
)

const (
	maxRows = 100
	// maxWords and maxSearch bound what a search costs.
	maxWords  = 8
	maxSearch = 256
)

// query is which sessions a page shows, in which order. It is comparable: pages that
// show the same share the work.
type query struct {
	text         string // words, each of which must be in the session
	spaced       bool   // whether a namespace is asked for
	namespace    string
	protocol     string
	labels       string // a selector that can be parsed
	newer, older time.Duration
	busy         bool // those with calls in flight alone
	sort         string
	ascending    bool
}

// parseQuery reads a query. Its errors say which part is wrong.
func parseQuery(v url.Values) (q query, err error) {
	q = query{
		text: strings.ToLower(strings.TrimSpace(v.Get("q"))), spaced: v.Has("namespace"), namespace: v.Get("namespace"),
		protocol: v.Get("protocol"), labels: v.Get("labels"), busy: v.Get("busy") == "1", sort: v.Get("sort"),
	}
	if len(q.text) > maxSearch || len(strings.Fields(q.text)) > maxWords {
		return query{}, fmt.Errorf("pushtunnel: a search has %d words and %d bytes at most", maxWords, maxSearch)
	}
	if _, err := server.ParseSelector(q.labels); err != nil {
		return query{}, err
	}
	for _, d := range []struct {
		key string
		to  *time.Duration
	}{{"newer", &q.newer}, {"older", &q.older}} {
		text := v.Get(d.key)
		if text == "" {
			continue
		}
		if *d.to, err = time.ParseDuration(text); err != nil || *d.to < 0 {
			return query{}, fmt.Errorf("pushtunnel: %s is no duration such as 10m: %q", d.key, clip(text))
		}
	}
	if q.sort == "" {
		q.sort = sortName
	}
	if orders[q.sort].compare == nil {
		return query{}, errors.New("pushtunnel: sort is one of name, age, inflight, calls, bytes and trip")
	}
	switch order := v.Get("order"); order {
	case "":
		q.ascending = orders[q.sort].ascending
	case "asc", "desc":
		q.ascending = order == "asc"
	default:
		return query{}, errors.New("pushtunnel: order is asc or desc")
	}
	return q, nil
}

const sortName = "name"

// orders are the keys by which sessions are sorted. Those of the same key are sorted by
// when they came.
var orders = map[string]struct {
	compare   func(a, b *entry) int
	ascending bool // unless the query says otherwise
}{
	sortName: {func(a, b *entry) int {
		if c := strings.Compare(a.session.Name(), b.session.Name()); c != 0 {
			return c
		}
		return strings.Compare(a.session.Namespace(), b.session.Namespace())
	}, true},
	"age":      {func(a, b *entry) int { return cmp.Compare(b.session.Revision(), a.session.Revision()) }, true},
	"inflight": {func(a, b *entry) int { return cmp.Compare(a.inFlight, b.inFlight) }, false},
	"calls":    {func(a, b *entry) int { return cmp.Compare(a.calls, b.calls) }, false},
	"bytes":    {func(a, b *entry) int { return cmp.Compare(a.received+a.sent, b.received+b.sent) }, false},
	"trip":     {func(a, b *entry) int { return cmp.Compare(a.trip, b.trip) }, false},
}

// matcher is a query that is ready to be asked.
type matcher struct {
	query
	words    []string
	selector server.Selector
	now      time.Time
}

func (q query) matcher(now time.Time) *matcher {
	selector, err := server.ParseSelector(q.labels)
	if err != nil {
		panic(err) //nolint:forbidigo // parseQuery has read it
	}
	return &matcher{query: q, words: strings.Fields(q.text), selector: selector, now: now}
}

// matches reports whether a session is asked for. What is cheap to ask comes first.
func (m *matcher) matches(e *entry) bool {
	s := e.session
	switch {
	case m.busy && e.inFlight == 0,
		m.spaced && s.Namespace() != m.namespace,
		m.newer > 0 && m.now.Sub(s.Since()) > m.newer,
		m.older > 0 && m.now.Sub(s.Since()) < m.older,
		m.protocol != "" && s.Peer().Protocol != m.protocol,
		m.labels != "" && !m.selector.Matches(s.Labels()):
		return false
	}
	for _, word := range m.words {
		if !mentions(s, word) {
			return false
		}
	}
	return true
}

// mentions reports whether a session has a word, which is in lower case, somewhere. An
// id must be the whole one, or within what is shown of it: nobody shall find out the
// rest piece by piece.
func mentions(s *server.Session, word string) bool {
	has := func(text string) bool { return strings.Contains(strings.ToLower(text), word) }
	if has(s.Name()) || has(s.Namespace()) {
		return true
	}
	p := s.Peer()
	if has(p.Subject) || has(p.Protocol) {
		return true
	}
	for k, v := range p.Labels {
		if has(k) || has(v) || strings.IndexByte(word, '=') > 0 && has(k+"="+v) {
			return true
		}
	}
	if len(word) <= shown && len(p.Session) >= 4*shown && strings.EqualFold(p.Session[:len(word)], word) || strings.EqualFold(p.Session, word) {
		return true
	}
	// Addresses are made into text only for words that can be in one.
	return p.Addr != nil && strings.Trim(word, "0123456789abcdef.:[]") == "" && has(p.Addr.String())
}
