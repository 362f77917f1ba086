package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pushtunnel/pushtunnel/server"
)

// Metrics are those of one server.Server. They are a prometheus.Collector: to have
// more than one in a registry, register each with a label of its own, with
// prometheus.WrapRegistererWith. All methods may be called by any goroutine.
type Metrics struct {
	server   atomic.Pointer[server.Server]
	limits   limits
	calls    *calls
	sessions *sessions
}

var _ prometheus.Collector = (*Metrics)(nil)

// New returns Metrics of a server that is yet to be made, with Option.
func New(opts ...Option) *Metrics {
	o := defaults()
	for _, opt := range opts {
		opt.apply(&o)
	}
	m := &Metrics{}
	m.calls = newCalls(&o, &m.limits)
	m.sessions = newSessions(&o, &m.limits)
	return m
}

// Option makes server.New tell the Metrics what happens. It adds hooks and
// interceptors: calls are counted and timed as the interceptors that come after it
// make them.
func (m *Metrics) Option() server.Option {
	return server.WithOptions(
		server.WithHooks(server.Hooks{
			Created:      func(s *server.Server) { m.server.Store(s) },
			Connected:    m.sessions.connected,
			Disconnected: m.sessions.disconnected,
			Refused:      m.sessions.refused,
		}),
		server.WithUnaryInterceptors(m.calls.unary),
		server.WithStreamInterceptors(m.calls.stream),
	)
}

// Describe sends what metrics there are.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descs {
		ch <- d
	}
	m.calls.durations.Describe(ch)
	m.sessions.roundTrips.Describe(ch)
}

// Collect asks all sessions and sends what there is to tell. Sessions come and go
// meanwhile, but are counted out only after it.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.sessions.collect(ch)
	m.calls.collect(ch)
	m.limits.collect(ch)
	if s := m.server.Load(); s != nil {
		if used, limit := s.Memory(); limit > 0 {
			ch <- gauge(memoryUsed, float64(used))
			ch <- gauge(memoryLimit, float64(limit))
		}
	}
	ch <- gauge(buildInfo, 1, version(), goVersion())
}

// desc makes a Desc and notes it for Describe.
func desc(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("pushtunnel_"+name, help, labels, nil)
	descs = append(descs, d)
	return d
}

var descs []*prometheus.Desc

var (
	memoryUsed  = desc("memory_used_bytes", "Messages that all sessions hold together, as server.WithMaxMemory counts them.")
	memoryLimit = desc("memory_limit_bytes", "What server.WithMaxMemory allows.")
	buildInfo   = desc("build_info", "1, with the versions of pushtunnel and of Go.", "version", "goversion")
)

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func counter(d *prometheus.Desc, v uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// histogram makes a histogram that is native and has classic buckets, too.
func histogram(name, help string, buckets []float64, label string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:                            "pushtunnel_" + name,
		Help:                            help,
		Buckets:                         buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{label})
}
