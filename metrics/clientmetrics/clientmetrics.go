// Package clientmetrics shows Prometheus what a client.Client does: whether it is
// connected, how its sessions end, and which calls it serves.
//
//	m := clientmetrics.New()
//	c := client.New(cc, "kitchen", m.Option())
//	prometheus.MustRegister(m)
//
// Several Clients of a program may share one Metrics. docs/METRICS.md lists the
// metrics.
package clientmetrics

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/metrics/internal/label"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Metrics are those of the Clients that have its Option. They are a
// prometheus.Collector. All methods may be called by any goroutine.
type Metrics struct {
	connected   prometheus.Gauge
	connects    *prometheus.CounterVec
	disconnects *prometheus.CounterVec
	retries     prometheus.Counter
	methods     *label.Table[method]
}

// method is what is known of the calls of a method.
type method struct {
	inFlight atomic.Int64
	ended    [label.Codes]atomic.Uint64
}

var _ prometheus.Collector = (*Metrics)(nil)

// maxMethods is how many methods have series of their own. A client serves those
// that it has registered, and no others.
const maxMethods = 1000

// The reasons why a session has ended, at the client.
const (
	reasonLeft     = "left"
	reasonLost     = "lost"
	reasonSilent   = "silent"
	reasonRefused  = "refused"
	reasonProtocol = "protocol_error"
	reasonLimit    = "limit"
)

var (
	callsTotal = prometheus.NewDesc("pushtunnel_client_calls_total",
		"Calls that were served, by the status code of the handler's answer.", []string{"method", "code"}, nil)
	callsInFlight = prometheus.NewDesc("pushtunnel_client_calls_in_flight",
		"Handlers that run.", []string{"method"}, nil)
)

// New returns Metrics of Clients that are yet to be made, with Option.
func New() *Metrics {
	m := &Metrics{
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pushtunnel_client_sessions", Help: "Sessions that are open: 0 if the client is not connected, 2 for a moment if it moves.",
		}),
		connects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushtunnel_client_connects_total", Help: "Sessions that were opened.",
		}, []string{"protocol"}),
		disconnects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushtunnel_client_disconnects_total", Help: "Sessions that have ended, by why.",
		}, []string{"reason"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushtunnel_client_retries_total", Help: "How often the client has waited to connect again.",
		}),
		methods: label.NewTable(maxMethods, func(string) *method { return &method{} }),
	}
	for _, reason := range []string{reasonLeft, reasonLost, reasonSilent, reasonRefused, reasonProtocol, reasonLimit} {
		m.disconnects.WithLabelValues(reason)
	}
	return m
}

// Option makes client.New and client.NewDialer tell the Metrics what happens. It adds
// hooks and interceptors: calls are counted as the interceptors that come after it
// serve them.
func (m *Metrics) Option() client.Option {
	return client.WithOptions(
		client.WithHooks(client.Hooks{
			Connected: func(p tunnel.Peer) {
				m.connected.Inc()
				m.connects.WithLabelValues(label.Valid(p.Protocol)).Inc()
			},
			Disconnected: func(_ tunnel.Peer, err error) {
				m.connected.Dec()
				m.disconnects.WithLabelValues(reasonOf(err)).Inc()
			},
			Retry: func(error, time.Duration) { m.retries.Inc() },
		}),
		client.WithUnaryInterceptors(m.unary),
		client.WithStreamInterceptors(m.stream),
	)
}

// reasonOf returns why a session has ended that has this error.
func reasonOf(err error) string {
	_, limit := tunnel.LimitOf(err)
	switch {
	case err == nil:
		return reasonLeft
	case errors.Is(err, tunnel.ErrSilent):
		return reasonSilent
	case errors.Is(err, tunnel.ErrProtocol), status.Code(err) == codes.Internal:
		return reasonProtocol
	case limit:
		return reasonLimit
	case client.Permanent(err):
		return reasonRefused
	}
	return reasonLost
}

func (m *Metrics) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	of := m.methods.Get(info.FullMethod)
	of.inFlight.Add(1)
	defer of.inFlight.Add(-1)
	reply, err := handle(ctx, req)
	of.ended[label.CodeOf(err)].Add(1)
	return reply, err
}

func (m *Metrics) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	of := m.methods.Get(info.FullMethod)
	of.inFlight.Add(1)
	defer of.inFlight.Add(-1)
	err := handle(srv, stream)
	of.ended[label.CodeOf(err)].Add(1)
	return err
}

// Describe sends what metrics there are.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.connected.Describe(ch)
	m.connects.Describe(ch)
	m.disconnects.Describe(ch)
	m.retries.Describe(ch)
	ch <- callsTotal
	ch <- callsInFlight
}

// Collect sends what there is to tell.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.connected.Collect(ch)
	m.connects.Collect(ch)
	m.disconnects.Collect(ch)
	m.retries.Collect(ch)
	m.methods.All(func(name string, of *method) {
		ch <- prometheus.MustNewConstMetric(callsInFlight, prometheus.GaugeValue, float64(of.inFlight.Load()), name)
		for code := range label.Codes {
			if n := of.ended[code].Load(); n > 0 || code == int(codes.OK) {
				ch <- prometheus.MustNewConstMetric(callsTotal, prometheus.CounterValue, float64(n), name, label.Code(code).String())
			}
		}
	})
}
