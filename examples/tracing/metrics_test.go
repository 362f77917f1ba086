package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
)

// withoutAddress is a view that docs/TRACING.md recommends.
var withoutAddress = sdkmetric.NewView(
	sdkmetric.Instrument{Name: "rpc.client.call.duration"},
	sdkmetric.Stream{AttributeFilter: attribute.NewDenyKeysFilter("server.address", "server.port")},
)

// OpenTelemetry's stats handlers measure how long pushes take, at both ends.
func TestMetrics(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			wantMetrics(t, way, map[string]uint64{
				"rpc.client.call.duration Notify OK":          2,
				"rpc.client.call.duration Notify UNAVAILABLE": 1,
				"rpc.server.call.duration Notify OK":          2,
			})
		})
	}
	t.Run("by their old names", func(t *testing.T) {
		t.Setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "rpc/old")
		wantMetrics(t, "grpc", map[string]uint64{
			"rpc.client.duration Notify OK":          2,
			"rpc.client.duration Notify UNAVAILABLE": 1,
			"rpc.server.duration Notify OK":          2,
		})
	})
}

// wantMetrics makes two calls to a client and one to nobody, and checks how many of
// each are counted.
func wantMetrics(t *testing.T, way string, want map[string]uint64) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	atServer, _ := recording("server")
	atClient, _ := recording("kitchen")
	push := start(t, way, atServer, atClient, otelgrpc.WithMeterProvider(meters))
	for _, name := range []string{"kitchen", "kitchen", "attic"} {
		_, _ = pb.NewNotifierClient(push.Client(name)).Notify(within(t), &pb.NotifyRequest{})
	}
	for ctx := within(t); ; {
		got := make(map[string]uint64)
		for name, points := range collect(t, reader) {
			for _, p := range points {
				got[name+" "+method(p)+" "+code(p)] += p.Count
			}
		}
		diff := cmp.Diff(want, got)
		if diff == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the metrics (-want +got):\n%s", diff)
		case <-time.After(time.Millisecond): // a handler counts when its answer is on its way
		}
	}
}

// Each client has an address and a port of its own, so each would be a series of its
// own. A view leaves them out.
func TestMetricsOfManyClients(t *testing.T) {
	for _, c := range []struct {
		name  string
		views []sdkmetric.Option
		want  int
	}{
		{"as they come", nil, 3},
		{"without addresses", []sdkmetric.Option{sdkmetric.WithView(withoutAddress)}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			reader := sdkmetric.NewManualReader()
			meters := sdkmetric.NewMeterProvider(append(c.views, sdkmetric.WithReader(reader))...)
			for range 3 {
				atServer, _ := recording("server")
				atClient, _ := recording("kitchen")
				push := start(t, "grpc", atServer, atClient, otelgrpc.WithMeterProvider(meters))
				if _, err := pb.NewNotifierClient(push.Client("kitchen")).Notify(within(t), &pb.NotifyRequest{}); err != nil {
					t.Fatal(err)
				}
			}
			if got := len(collect(t, reader)["rpc.client.call.duration"]); got != c.want {
				t.Errorf("got %d series of three clients, want %d", got, c.want)
			}
		})
	}
}

// collect returns the histograms by their names.
func collect(t *testing.T, reader sdkmetric.Reader) map[string][]metricdata.HistogramDataPoint[float64] {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]metricdata.HistogramDataPoint[float64])
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			h, ok := m.Data.(metricdata.Histogram[float64])
			if !ok {
				t.Fatalf("%s is a %T, want a histogram", m.Name, m.Data)
			}
			got[m.Name] = append(got[m.Name], h.DataPoints...)
		}
	}
	return got
}

func method(p metricdata.HistogramDataPoint[float64]) string {
	v, _ := p.Attributes.Value("rpc.method")
	const service = len("examples.notifier.v1.Notifier/")
	if s := v.AsString(); len(s) > service {
		return s[service:]
	}
	return v.AsString()
}

func code(p metricdata.HistogramDataPoint[float64]) string {
	v, _ := p.Attributes.Value("rpc.response.status_code")
	return v.AsString()
}
