package stocktools

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"

	"github.com/pushtunnel/pushtunnel/client"
)

// counts are how much a client has been called.
type counts struct{ Calls, In, Out int64 }

// counter is a service that counts its calls and the messages of its streams.
type counter struct {
	testgrpc.UnimplementedTestServiceServer
	calls, in, out atomic.Int64
}

func (c *counter) take() counts { return counts{c.calls.Swap(0), c.in.Swap(0), c.out.Swap(0)} }

// called counts a call. Its caller's credentials must not be there.
func (c *counter) called(ctx context.Context) error {
	c.calls.Add(1)
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("authorization")) > 0 || len(md.Get("load")) != 1 {
		return errors.New("the metadata is not what it should be")
	}
	return nil
}

// UnaryCall sends the payload back.
func (c *counter) UnaryCall(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	c.in.Add(1)
	c.out.Add(1)
	return &testgrpc.SimpleResponse{Payload: r.GetPayload()}, c.called(ctx)
}

// StreamingOutputCall sends as many messages as it is asked for.
func (c *counter) StreamingOutputCall(r *testgrpc.StreamingOutputCallRequest, s grpc.ServerStreamingServer[testgrpc.StreamingOutputCallResponse]) error {
	c.in.Add(1)
	for range r.GetResponseParameters() {
		if err := s.Send(&testgrpc.StreamingOutputCallResponse{}); err != nil {
			return err
		}
		c.out.Add(1)
	}
	return c.called(s.Context())
}

// StreamingInputCall takes all messages.
func (c *counter) StreamingInputCall(s grpc.ClientStreamingServer[testgrpc.StreamingInputCallRequest, testgrpc.StreamingInputCallResponse]) error {
	for {
		_, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		c.in.Add(1)
	}
	c.out.Add(1)
	if err := c.called(s.Context()); err != nil {
		return err
	}
	return s.SendAndClose(&testgrpc.StreamingInputCallResponse{})
}

// FullDuplexCall answers each message.
func (c *counter) FullDuplexCall(s grpc.BidiStreamingServer[testgrpc.StreamingOutputCallRequest, testgrpc.StreamingOutputCallResponse]) error {
	for {
		_, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return c.called(s.Context())
		}
		if err != nil {
			return err
		}
		c.in.Add(1)
		if err := s.Send(&testgrpc.StreamingOutputCallResponse{}); err != nil {
			return err
		}
		c.out.Add(1)
	}
}

// report is what ghz prints with --format=json.
type report struct {
	Count                  int64
	StatusCodeDistribution map[string]int64
	ErrorDistribution      map[string]int64
}

// load runs ghz and returns what it reports.
func load(t *testing.T, ghz string, args ...string) report {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), ghz, append([]string{"--format=json", "--timeout=1m", "--connect-timeout=1m"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

// TestLoad has ghz put load on a client: it gets what it wants from the client's
// reflection, all calls succeed, and the client has had as many.
func TestLoad(t *testing.T) {
	ghz := tool(t, "ghz")
	c := new(counter)
	register := func(r *client.Client) {
		testgrpc.RegisterTestServiceServer(r, c)
		reflection.Register(r)
	}
	_, plain := serve(t)
	connect(t, dial(t, plain), register)
	secure, ca := secured(t, register)

	for name, world := range map[string]struct{ args []string }{
		"plain": {[]string{
			"--insecure", "--metadata", `{"pushtunnel-client": "c1", "load": "1"}`, "--reflect-metadata", `{"pushtunnel-client": "c1"}`, plain,
		}},
		"TLS and tokens": {[]string{
			"--cacert", ca,
			"--metadata", `{"pushtunnel-client": "c1", "load": "1", "authorization": "Bearer backend-backend-backend"}`,
			"--reflect-metadata", `{"pushtunnel-client": "c1", "authorization": "Bearer backend-backend-backend"}`, secure,
		}},
	} {
		const calls, messages = 500, 4
		for _, test := range []struct {
			method, data string
			args         []string
			want         counts
		}{
			{"UnaryCall", `{"payload": {"body": "aGVsbG8="}}`, nil, counts{calls, calls, calls}},
			{"StreamingOutputCall", `{"responseParameters": [{}, {}, {}, {}]}`, nil, counts{calls, calls, calls * messages}},
			{"StreamingInputCall", `[{}, {}, {}, {}]`, []string{"--stream-call-count=4"}, counts{calls, calls * messages, calls}},
			{"FullDuplexCall", `[{}, {}, {}, {}]`, []string{"--stream-call-count=4"}, counts{calls, calls * messages, calls * messages}},
		} {
			t.Run(name+"/"+test.method, func(t *testing.T) {
				args := append([]string{
					"--call", testgrpc.TestService_ServiceDesc.ServiceName + "/" + test.method, "-d", test.data,
					"-n", strconv.Itoa(calls), "-c", "20", "--connections=2",
				}, test.args...)
				got := load(t, ghz, append(args, world.args...)...)
				want := report{Count: calls, StatusCodeDistribution: map[string]int64{"OK": calls}, ErrorDistribution: map[string]int64{}}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("what ghz says (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.want, c.take()); diff != "" {
					t.Errorf("what the client has seen (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// A client that is not there is an error of each call, with its reason.
func TestLoadOnNobody(t *testing.T) {
	ghz := tool(t, "ghz")
	c := new(counter)
	_, addr := serve(t)
	connect(t, dial(t, addr), func(r *client.Client) { reflection.Register(r); testgrpc.RegisterTestServiceServer(r, c) })
	got := load(t, ghz, "--insecure", "--call", testgrpc.TestService_ServiceDesc.ServiceName+"/UnaryCall", "-d", "{}", "-n", "20", "-c", "2",
		"--metadata", `{"pushtunnel-client": "c2"}`, "--reflect-metadata", `{"pushtunnel-client": "c1"}`, addr)
	want := report{
		Count: 20, StatusCodeDistribution: map[string]int64{"Unavailable": 20},
		ErrorDistribution: map[string]int64{`rpc error: code = Unavailable desc = pushtunnel: client "c2" is not connected`: 20},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
