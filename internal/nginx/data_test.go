//go:build unix

package nginx

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
)

// A client may send as much as it likes on its tunnel, which is one request to nginx.
// And gRPC's pings, with which both ends measure the bandwidth if they have no static
// windows, do no harm, however many there are.
func TestMuchData(t *testing.T) { // alone, since it takes all processors
	const size, large = 3 << 20, 3
	for name, test := range map[string]struct {
		grpc  []grpc.ServerOption
		dial  []grpc.DialOption
		small int
	}{
		"static windows":    {server.RecommendedOptions(), client.RecommendedOptions(), 100},
		"no static windows": {[]grpc.ServerOption{}, nil, 2000},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{grpc: test.grpc})
			p := w.join(t, dial(t, w.plain, append(test.dial, grpc.WithTransportCredentials(insecure.NewCredentials()))...), "c1")
			for range test.small {
				w.ask(t, "c1")
			}
			for range large {
				r, err := w.stub("c1").UnaryCall(t.Context(), &testgrpc.SimpleRequest{
					ResponseSize: size, Payload: &testgrpc.Payload{Body: make([]byte, size)},
				})
				if err != nil {
					t.Fatal(err)
				}
				if got := len(r.GetPayload().GetBody()); got != size {
					t.Fatalf("got %d bytes, want %d", got, size)
				}
			}
			none(t, p.went, "ends of the session")
		})
	}
}

// A client makes many calls of its own on the connection that its tunnel has. By
// default nginx would have it change the connection after 1,000, and the tunnel move.
func TestCallsOfTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	cc := w.dial(t)
	p := w.join(t, cc, "c1")
	for range 1500 {
		if _, err := healthgrpc.NewHealthClient(cc).Check(t.Context(), &healthgrpc.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	w.ask(t, "c1")
	none(t, p.came, "more sessions")
}
