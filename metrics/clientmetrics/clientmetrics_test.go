package clientmetrics_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/metrics/clientmetrics"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

type service struct {
	testgrpc.UnimplementedTestServiceServer
	release chan error
}

func (s *service) UnaryCall(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{}, <-s.release
}

func (s *service) FullDuplexCall(testgrpc.TestService_FullDuplexCallServer) error { return <-s.release }

// wantText checks that these lines are among those that Prometheus gets.
func wantText(t *testing.T, m *clientmetrics.Metrics, want ...string) {
	t.Helper()
	var names []string
	for _, line := range want {
		names = append(names, line[:strings.IndexAny(line, "{ ")])
	}
	text, err := testutil.CollectAndFormat(m, expfmt.TypeTextPlain, names...)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for _, line := range want {
		if !slices.Contains(lines, line) {
			t.Errorf("there is no %s in\n%s", line, text)
		}
	}
}

func TestAClientsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := clientmetrics.New()
		push := tunneltest.NewServer(t, server.WithHeartbeat(-1))
		wantText(t, m, "pushtunnel_client_sessions 0", "pushtunnel_client_retries_total 0")
		c := client.New(push.Dial(t), "c1", m.Option())
		served := make(chan error, 1)
		go func() { served <- c.Serve(t.Context()) }()
		synctest.Wait()
		wantText(t, m,
			"pushtunnel_client_sessions 1",
			`pushtunnel_client_connects_total{protocol="grpc"} 1`,
			`pushtunnel_client_disconnects_total{reason="lost"} 0`)
		for s := range push.Sessions() {
			s.Close("away with you")
		}
		time.Sleep(time.Minute)
		wantText(t, m,
			"pushtunnel_client_sessions 1",
			"pushtunnel_client_retries_total 1",
			`pushtunnel_client_connects_total{protocol="grpc"} 2`,
			`pushtunnel_client_disconnects_total{reason="lost"} 1`)
		if err := c.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		wantText(t, m,
			"pushtunnel_client_sessions 0",
			`pushtunnel_client_disconnects_total{reason="left"} 1`,
			`pushtunnel_client_disconnects_total{reason="lost"} 1`)
	})
}

func TestServedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := clientmetrics.New()
		push := tunneltest.NewServer(t, server.WithHeartbeat(-1))
		s := &service{release: make(chan error)}
		c := client.New(push.Dial(t), "c1", m.Option())
		testgrpc.RegisterTestServiceServer(c, s)
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- c.Serve(ctx) }()
		synctest.Wait()
		stub := testgrpc.NewTestServiceClient(push.Client("c1"))
		stub.EmptyCall(ctx, &testgrpc.Empty{})
		go stub.UnaryCall(ctx, &testgrpc.SimpleRequest{})
		stub.FullDuplexCall(ctx)
		push.Client("c1").Invoke(ctx, "/no/Method", &testgrpc.Empty{}, &testgrpc.Empty{}) // no handler runs
		synctest.Wait()
		const of = "/grpc.testing.TestService/"
		wantText(t, m,
			`pushtunnel_client_calls_in_flight{method="`+of+`EmptyCall"} 0`,
			`pushtunnel_client_calls_in_flight{method="`+of+`UnaryCall"} 1`,
			`pushtunnel_client_calls_in_flight{method="`+of+`FullDuplexCall"} 1`,
			`pushtunnel_client_calls_total{code="Unimplemented",method="`+of+`EmptyCall"} 1`)
		s.release <- status.Error(codes.NotFound, "no")
		s.release <- status.Error(codes.NotFound, "no")
		synctest.Wait()
		wantText(t, m,
			`pushtunnel_client_calls_in_flight{method="`+of+`UnaryCall"} 0`,
			`pushtunnel_client_calls_in_flight{method="`+of+`FullDuplexCall"} 0`,
			`pushtunnel_client_calls_total{code="NotFound",method="`+of+`UnaryCall"} 1`,
			`pushtunnel_client_calls_total{code="OK",method="`+of+`UnaryCall"} 0`,
			`pushtunnel_client_calls_total{code="NotFound",method="`+of+`FullDuplexCall"} 1`)
		if got := testutil.CollectAndCount(m, "pushtunnel_client_calls_in_flight"); got != 3 {
			t.Errorf("got %d methods, want 3: a server cannot make them up", got)
		}
		cancel()
		if err := <-served; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

func TestASecondClientTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := clientmetrics.New()
		push := tunneltest.NewServer(t, server.WithHeartbeat(-1), server.WithDuplicates(server.ReplaceDuplicates))
		served := make(chan error, 1)
		c := client.New(push.Dial(t), "c1", m.Option())
		go func() { served <- c.Serve(t.Context()) }()
		synctest.Wait()
		push.Connect(t, "c1", nil)
		if err := <-served; status.Code(err) != codes.Aborted {
			t.Fatal(err)
		}
		wantText(t, m, "pushtunnel_client_sessions 0", `pushtunnel_client_disconnects_total{reason="refused"} 1`)
	})
}
