package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/interceptors"
)

// wantHandled checks a counter of calls after pushTwo.
func wantHandled(t *testing.T, c prometheus.Collector, metric, help string, w way, failed codes.Code) {
	t.Helper()
	typ := "unary"
	if w.name == "stream" {
		typ = "server_stream"
	}
	method := w.method[strings.LastIndexByte(w.method, '/')+1:]
	var want strings.Builder
	fmt.Fprintf(&want, "# HELP %s %s\n# TYPE %s counter\n", metric, help, metric)
	for _, code := range []codes.Code{failed, codes.OK} {
		fmt.Fprintf(&want, "%s{grpc_code=%q,grpc_method=%q,grpc_service=\"examples.notifier.v1.Notifier\",grpc_type=%q} 1\n", metric, code, method, typ)
	}
	if err := testutil.CollectAndCompare(c, strings.NewReader(want.String()), metric); err != nil {
		t.Error(err)
	}
}

func TestPrometheusCalling(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := grpcprom.NewClientMetrics()
				calling := interceptors.Caller{Unary: m.UnaryClientInterceptor(), Stream: m.StreamClientInterceptor()}
				push := start(t, w, calling, interceptors.Handler{}, &pb.Notifier_ServiceDesc, &impl{handle: failing})
				pushTwo(t, w, push.Client("c1"))
				wantHandled(t, m, "grpc_client_handled_total", "Total number of RPCs completed by the client, regardless of success or failure.", w, w.code(codes.NotFound))
			})
		})
	}
}

func TestPrometheusServing(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := grpcprom.NewServerMetrics()
				serving := interceptors.Handler{Unary: m.UnaryServerInterceptor(), Stream: m.StreamServerInterceptor()}
				push := start(t, w, interceptors.Caller{}, serving, &pb.Notifier_ServiceDesc, &impl{handle: failing})
				pushTwo(t, w, push.Client("c1"))
				wantHandled(t, m, "grpc_server_handled_total", "Total number of RPCs completed on the server, regardless of success or failure.", w, codes.NotFound)
			})
		})
	}
}
