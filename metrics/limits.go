package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pushtunnel/pushtunnel/metrics/internal/label"
)

var limitHits = desc("limit_hits_total",
	"Clients refused, sessions ended and calls failed at a limit, of the server or as the client says of its own.", "limit", "end")

// limits counts how often each limit was hit.
type limits struct {
	own, others [label.Limits]atomic.Uint64
}

// note counts err if it is about a limit.
func (l *limits) note(err error) {
	limit, own, ok := label.LimitOf(err)
	switch {
	case !ok:
	case own:
		l.own[limit].Add(1)
	default:
		l.others[limit].Add(1)
	}
}

// refusal counts the reason of a refusal if it is about a limit. A refusal is what
// the client is told of a limit of this end.
func (l *limits) refusal(err error) {
	if limit, _, ok := label.LimitOf(err); ok {
		l.own[limit].Add(1)
	}
}

func (l *limits) collect(ch chan<- prometheus.Metric) {
	for i := range label.Limits {
		name := label.Limit(i).String()
		ch <- counter(limitHits, l.own[i].Load(), name, "server")
		ch <- counter(limitHits, l.others[i].Load(), name, "client")
	}
}
