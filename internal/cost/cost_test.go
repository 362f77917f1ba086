//go:build !race

package cost

import (
	"context"
	"io"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/stats"
)

// The limits below are what was measured, and a little more.

func TestAllocationsOfAUnaryCall(t *testing.T) {
	limits := map[string]struct{ alone, among, bytes float64 }{
		"stream": {alone: 40, among: 14, bytes: 2000},
		"direct": {alone: 12, among: 12, bytes: 1600},
	}
	eachWay(t, func(t *testing.T, w way, stub testgrpc.TestServiceClient) {
		r := request(100)
		call := func() error {
			_, err := stub.UnaryCall(t.Context(), r)
			return err
		}
		limit := limits[w.name]
		check(t, "allocations a call of one caller", per(t, 1, 4000, allocations, call), limit.alone)
		check(t, "allocations a call of 64 callers", per(t, 64, 20000, allocations, call), limit.among)
		check(t, "bytes allocated a call of 64 callers", per(t, 64, 20000, allocated, call), limit.bytes)
	})
}

// A message of a stream travels with those before and behind it.
func TestCostOfAStreamedMessage(t *testing.T) {
	limits := map[string]struct{ allocations, systemCalls float64 }{
		"stream": {6, 0.2},
		"direct": {6, 0.2},
	}
	eachWay(t, func(t *testing.T, w way, stub testgrpc.TestServiceClient) {
		const messages = 20000
		r := &testgrpc.StreamingOutputCallRequest{
			Payload:            request(100).GetPayload(),
			ResponseParameters: []*testgrpc.ResponseParameters{{Size: messages}},
		}
		read := func() error {
			s, err := stub.StreamingOutputCall(t.Context(), r)
			for err == nil {
				_, err = s.Recv()
			}
			if err == io.EOF {
				err = nil
			}
			return err
		}
		limit := limits[w.name]
		check(t, "allocations a message", per(t, 1, 4, allocations, read)/messages, limit.allocations)
		if systemCalls() > 0 {
			check(t, "system calls a message", per(t, 1, 4, systemCalls, read)/messages, limit.systemCalls)
		}
	})
}

// A call is one message each way on the gRPC stream, or less: many travel together.
func TestMessagesOfAUnaryCall(t *testing.T) {
	counter := new(messageCounter)
	stub := testgrpc.NewTestServiceClient(connect(t, ways[0], grpc.StatsHandler(counter)))
	r := request(100)
	call := func() error {
		_, err := stub.UnaryCall(t.Context(), r)
		return err
	}
	check(t, "messages a call of one caller", per(t, 1, 4000, counter.Load, call), 2.1)
	check(t, "messages a call of 64 callers", per(t, 64, 20000, counter.Load, call), 0.5)
}

// messageCounter counts the messages of a gRPC server, in both directions.
type messageCounter struct{ atomic.Uint64 }

func (c *messageCounter) HandleRPC(_ context.Context, s stats.RPCStats) {
	switch s.(type) {
	case *stats.InPayload, *stats.OutPayload:
		c.Add(1)
	}
}

func (*messageCounter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (*messageCounter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*messageCounter) HandleConn(context.Context, stats.ConnStats)                       {}

func TestSystemCallsOfAUnaryCall(t *testing.T) {
	if systemCalls() == 0 {
		t.Skip("this system does not count them")
	}
	limits := map[string]struct{ alone, among float64 }{
		"stream": {alone: 9, among: 1},
		"direct": {alone: 7, among: 1.5},
	}
	eachWay(t, func(t *testing.T, w way, stub testgrpc.TestServiceClient) {
		r := request(100)
		call := func() error {
			_, err := stub.UnaryCall(t.Context(), r)
			return err
		}
		limit := limits[w.name]
		check(t, "system calls a call of one caller", per(t, 1, 4000, systemCalls, call), limit.alone)
		check(t, "system calls a call of 64 callers", per(t, 64, 20000, systemCalls, call), limit.among)
	})
}

// A batch carries several messages of 16 KiB on the direct transport, and a system
// call several batches on a gRPC stream.
func TestSystemCallsOfALargeCall(t *testing.T) {
	if systemCalls() == 0 {
		t.Skip("this system does not count them")
	}
	limits := map[string]float64{"stream": 4, "direct": 3}
	eachWay(t, func(t *testing.T, w way, stub testgrpc.TestServiceClient) {
		r := request(16 << 10)
		check(t, "system calls a call", per(t, 64, 10000, systemCalls, func() error {
			_, err := stub.UnaryCall(t.Context(), r)
			return err
		}), limits[w.name])
	})
}
