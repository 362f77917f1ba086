package daemon

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pushtunnel/pushtunnel/admin/page"
	"github.com/pushtunnel/pushtunnel/metrics"
)

// adminPages are what the admin port has: /metrics, /healthz, which is well as long as the
// process answers, /readyz, which is well while the server wants connections, and the
// admin page, if it is not nil.
func adminPages(registry *prometheus.Registry, ready func() bool, admin *page.Page) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	if admin != nil {
		mux.Handle("/", admin)
		return mux
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "pushtunnel\n\n/metrics\n/healthz\n/readyz")
	})
	return mux
}

// newPage makes the admin page. m counts the calls that it shows.
func (s *Settings) newPage(m *metrics.Metrics) *page.Page {
	return page.New(page.WithHosts(s.AdminHost...), page.WithMethods(func() []page.Method {
		calls := m.Calls()
		methods := make([]page.Method, len(calls))
		for i, c := range calls {
			methods[i] = page.Method{Name: c.Method, InFlight: c.InFlight, Ended: c.Ended, Failed: c.Failed}
		}
		return methods
	}))
}
