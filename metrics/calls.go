package metrics

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/pushtunnel/pushtunnel/metrics/internal/label"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

var (
	callsTotal = desc("calls_total",
		"Calls to clients that have ended, by status code and by how far they came.", "method", "code", "outcome")
	callsInFlight = desc("calls_in_flight",
		"Calls to clients that have not ended, those that wait for a client included.", "method")
)

// calls counts and times the calls to clients.
type calls struct {
	methods   *label.Table[method]
	durations *prometheus.HistogramVec
	limits    *limits
}

// method is what is known of the calls of a method.
type method struct {
	inFlight atomic.Int64
	ended    [label.Codes][label.Outcomes]atomic.Uint64
	duration prometheus.Observer
}

func newCalls(o *options, l *limits) *calls {
	c := &calls{limits: l}
	c.durations = histogram("call_duration_seconds", "How long calls to clients took, those that failed included.", o.buckets, "method")
	c.methods = label.NewTable(o.maxMethods, func(name string) *method {
		return &method{duration: c.durations.WithLabelValues(name)}
	})
	return c
}

func (c *calls) unary(ctx context.Context, name string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	m := c.methods.Get(name)
	m.inFlight.Add(1)
	defer m.inFlight.Add(-1) // in a panic, too, which may be recovered from
	began := time.Now()
	err := invoke(ctx, name, req, reply, cc, opts...)
	c.count(m, began, err)
	return err
}

func (c *calls) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, name string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	m := c.methods.Get(name)
	m.inFlight.Add(1)
	began := time.Now()
	var over atomic.Bool
	end := func(err error) {
		if over.CompareAndSwap(false, true) {
			m.inFlight.Add(-1)
			c.count(m, began, err)
		}
	}
	stream, err := open(ctx, desc, cc, name, append(slices.Clip(opts), grpc.OnFinish(end))...)
	if err != nil {
		end(err) // an interceptor may have failed it
	}
	return stream, err
}

// count notes a call that has ended.
func (c *calls) count(m *method, began time.Time, err error) {
	m.duration.Observe(time.Since(began).Seconds())
	if err == nil {
		m.ended[codes.OK][tunnel.OutcomeAnswered].Add(1)
		return
	}
	m.ended[label.CodeOf(err)][tunnel.OutcomeOf(err)].Add(1)
	c.limits.note(err)
}

func (c *calls) collect(ch chan<- prometheus.Metric) {
	c.methods.All(func(name string, m *method) {
		ch <- gauge(callsInFlight, float64(m.inFlight.Load()), name)
		for code := range label.Codes {
			for outcome := range label.Outcomes {
				n := m.ended[code][outcome].Load()
				if n == 0 && !begins(code, outcome) {
					continue
				}
				ch <- counter(callsTotal, n, name, label.Code(code).String(), label.Outcome(tunnel.Outcome(outcome)))
			}
		}
	})
	c.durations.Collect(ch)
}

// MethodCalls are the calls to clients of a method.
type MethodCalls struct {
	Method   string // the full one, or "other"
	InFlight int64  // under way, those that wait for a client included
	Ended    uint64
	Failed   uint64 // of those that have ended: with another code than OK
}

// Calls returns the calls of each method that has series of its own, and of the others
// together, in no order.
func (m *Metrics) Calls() []MethodCalls {
	var all []MethodCalls
	m.calls.methods.All(func(name string, m *method) {
		c := MethodCalls{Method: name, InFlight: m.inFlight.Load()}
		for code := range m.ended {
			for outcome := range m.ended[code] {
				n := m.ended[code][outcome].Load()
				c.Ended += n
				if code != int(codes.OK) {
					c.Failed += n
				}
			}
		}
		all = append(all, c)
	})
	return all
}

// begins reports whether calls that end so have a series before there is one: so
// that Prometheus sees the first failure as an increase.
func begins(code, outcome int) bool {
	switch tunnel.Outcome(outcome) { //nolint:exhaustive,gosec // of 4
	case tunnel.OutcomeAnswered:
		return code == int(codes.OK)
	case tunnel.OutcomeUnknown:
		return code == int(codes.Unavailable) || code == int(codes.DeadlineExceeded)
	}
	return false
}
