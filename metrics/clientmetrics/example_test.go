package clientmetrics_test

import (
	"context"
	"log"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/metrics/clientmetrics"
)

func Example() {
	cc, err := grpc.NewClient("push.example.com:443", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	m := clientmetrics.New()
	c := client.New(cc, "kitchen", m.Option())

	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	go func() { log.Print(http.ListenAndServe("localhost:9090", nil)) }()

	log.Print(c.Serve(context.Background()))
}
