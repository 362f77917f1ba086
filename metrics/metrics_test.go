package metrics_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pushtunnel/pushtunnel/metrics"
	"github.com/pushtunnel/pushtunnel/metrics/clientmetrics"
	"github.com/pushtunnel/pushtunnel/server"
)

// exercised returns a collector of each kind that has all of its metrics.
func exercised(t *testing.T) (*metrics.Metrics, *clientmetrics.Metrics) {
	t.Helper()
	of := clientmetrics.New()
	m := metrics.New()
	n := newNetwork(t, time.Millisecond, m.Option(), server.WithHeartbeat(time.Second),
		server.WithIdentity(func(ctx context.Context, c server.Candidate) (server.Identity, error) {
			if c.Name == "nobody" {
				return server.Identity{}, errors.New("who?")
			}
			return server.TrustClaims(ctx, c)
		}))
	n.serve(t, "c1", of.Option())
	n.serve(t, "nobody", of.Option())
	time.Sleep(10 * time.Second)
	if err := call(t.Context(), n.Client("c1")); err != nil {
		t.Fatal(err)
	}
	return m, of
}

func TestNamesAndHelpAreAsPrometheusWantsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, of := exercised(t)
		for _, c := range []prometheus.Collector{m, of} {
			problems, err := testutil.CollectAndLint(c)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range problems {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
	})
}

// Two servers of a program are told apart by a label of the registry.
func TestTwoServersInARegistry(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, name := range []string{"a", "b"} {
		m := metrics.New()
		server.New(m.Option())
		if err := prometheus.WrapRegistererWith(prometheus.Labels{"server": name}, registry).Register(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := registry.Gather(); err != nil {
		t.Fatal(err)
	}
}
