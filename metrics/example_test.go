package metrics_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pushtunnel/pushtunnel/metrics"
	"github.com/pushtunnel/pushtunnel/server"
)

// Metrics are given to the server as an option, and to a registry as a collector. The
// endpoint that Prometheus scrapes is the program's own.
func Example() {
	m := metrics.New()
	push := server.New(m.Option()) // and the options that you have
	defer push.Close()

	registry := prometheus.NewRegistry()
	registry.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	// In a program: http.ListenAndServe("localhost:9090", mux)
	prom := httptest.NewServer(mux)
	defer prom.Close()
	answer, err := http.Get(prom.URL + "/metrics")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "pushtunnel_memory_") {
			fmt.Print(line)
		}
	}
	// Output:
	// pushtunnel_memory_limit_bytes 1.073741824e+09
	// pushtunnel_memory_used_bytes 0
}
