package metrics_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/metrics"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

const (
	unaryMethod  = "/grpc.testing.TestService/UnaryCall"
	streamMethod = "/grpc.testing.TestService/FullDuplexCall"
)

// service is a client's service whose handlers are functions.
type service struct {
	testgrpc.UnimplementedTestServiceServer
	unary  func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error)
	stream func(testgrpc.TestService_FullDuplexCallServer) error
}

func (s *service) UnaryCall(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	if s.unary == nil {
		return &testgrpc.SimpleResponse{Payload: r.GetPayload()}, nil
	}
	return s.unary(ctx, r)
}

func (s *service) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	return s.stream(stream)
}

func (s *service) register(r grpc.ServiceRegistrar) { testgrpc.RegisterTestServiceServer(r, s) }

// echoes registers a service that echoes.
func echoes(r grpc.ServiceRegistrar) { (&service{}).register(r) }

func call(ctx context.Context, cc grpc.ClientConnInterface, opts ...grpc.CallOption) error {
	_, err := testgrpc.NewTestServiceClient(cc).UnaryCall(ctx, &testgrpc.SimpleRequest{}, opts...)
	return err
}

// newServer starts a server with Metrics.
func newServer(tb testing.TB, opts ...server.Option) (*metrics.Metrics, *tunneltest.Server) {
	tb.Helper()
	m := metrics.New()
	return m, tunneltest.NewServer(tb, append([]server.Option{m.Option()}, opts...)...)
}

// sample is what a collector exports: the value of each series, and of a histogram the
// number of its observations. A series is `name{label="value",...}`, without the
// prefix of all names.
type sample map[string]float64

// scrape gathers from a collector as Prometheus does, which checks that it is
// consistent.
func scrape(tb testing.TB, c prometheus.Collector) sample {
	tb.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		tb.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	s := make(sample)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			series := strings.TrimPrefix(f.GetName(), "pushtunnel_")
			if len(labels) > 0 {
				series += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.GetCounter() != nil:
				s[series] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				s[series] = m.GetGauge().GetValue()
			case m.GetHistogram() != nil:
				s[series] = float64(m.GetHistogram().GetSampleCount())
			default:
				tb.Fatalf("%s is of type %v", f.GetName(), f.GetType())
			}
		}
	}
	return s
}

// since returns what is different from before: new series that are not 0, and by how
// much others have grown. What is only so many bytes, or says who is running, is left
// out.
func (s sample) since(before sample) sample {
	changed := make(sample)
	for series, v := range s {
		name, _, _ := strings.Cut(series, "{")
		if strings.HasSuffix(name, "_bytes_total") || name == "build_info" || name == "memory_limit_bytes" {
			continue
		}
		if v != before[series] {
			changed[series] = v - before[series]
		}
	}
	return changed
}

// sum adds up all series of a metric.
func (s sample) sum(name string) (total float64) {
	for series, v := range s {
		if series == name || strings.HasPrefix(series, name+"{") {
			total += v
		}
	}
	return total
}

// series returns how many series a metric has.
func (s sample) series(name string) int {
	n := 0
	for series := range s {
		if strings.HasPrefix(series, name+"{") {
			n++
		}
	}
	return n
}

// want checks what has changed since before, and all of it.
func want(t *testing.T, c prometheus.Collector, before, want sample) sample {
	t.Helper()
	now := scrape(t, c)
	if diff := cmp.Diff(want, now.since(before)); diff != "" {
		t.Fatalf("what has changed (-want +got):\n%s", diff)
	}
	return now
}

// wantGrown checks that counters have not gone back: those of before are there, and
// not smaller.
func (s sample) wantGrown(t *testing.T, before sample) {
	t.Helper()
	for _, series := range slices.Sorted(maps.Keys(before)) {
		name, _, _ := strings.Cut(series, "{")
		if !strings.HasSuffix(name, "_total") && !strings.HasSuffix(name, "_seconds") {
			continue
		}
		if now, ok := s[series]; !ok || now < before[series] {
			t.Errorf("%s: got %v (there: %v) after %v: it went back", series, now, ok, before[series])
		}
	}
}

// has reports whether there is a series.
func (s sample) has(series string) bool {
	_, ok := s[series]
	return ok
}

// payload makes a call with a message of so many bytes each way.
func payload(ctx context.Context, cc grpc.ClientConnInterface, n int) error {
	request := &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: make([]byte, n)}}
	_, err := testgrpc.NewTestServiceClient(cc).UnaryCall(ctx, request)
	return err
}
