//go:build !race

package cost

import (
	"io"
	"testing"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"
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
		if got := per(t, 1, 4000, allocations, call); got > limit.alone {
			t.Errorf("%.1f allocations a call of one caller, want %.0f at most", got, limit.alone)
		} else {
			t.Logf("%.1f allocations a call of one caller", got)
		}
		if got := per(t, 64, 20000, allocations, call); got > limit.among {
			t.Errorf("%.1f allocations a call of 64 callers, want %.0f at most", got, limit.among)
		} else {
			t.Logf("%.1f allocations a call of 64 callers", got)
		}
		if got := per(t, 64, 20000, allocated, call); got > limit.bytes {
			t.Errorf("%.0f bytes allocated a call of 64 callers, want %.0f at most", got, limit.bytes)
		} else {
			t.Logf("%.0f bytes allocated a call of 64 callers", got)
		}
	})
}

func TestAllocationsOfAStreamedMessage(t *testing.T) {
	limits := map[string]float64{"stream": 6, "direct": 6}
	eachWay(t, func(t *testing.T, w way, stub testgrpc.TestServiceClient) {
		const messages = 20000
		r := &testgrpc.StreamingOutputCallRequest{
			Payload:            request(100).GetPayload(),
			ResponseParameters: []*testgrpc.ResponseParameters{{Size: messages}},
		}
		got := per(t, 1, 4, allocations, func() error {
			s, err := stub.StreamingOutputCall(t.Context(), r)
			for err == nil {
				_, err = s.Recv()
			}
			if err == io.EOF {
				err = nil
			}
			return err
		}) / messages
		if got > limits[w.name] {
			t.Errorf("%.2f allocations a message, want %.0f at most", got, limits[w.name])
		}
		t.Logf("%.2f allocations a message", got)
	})
}

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
		got := per(t, 1, 4000, systemCalls, call)
		t.Logf("%.2f system calls a call of one caller", got)
		if got > limit.alone {
			t.Errorf("want %.0f at most", limit.alone)
		}
		got = per(t, 64, 20000, systemCalls, call)
		t.Logf("%.2f system calls a call of 64 callers", got)
		if got > limit.among {
			t.Errorf("want %.1f at most", limit.among)
		}
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
		got := per(t, 64, 10000, systemCalls, func() error {
			_, err := stub.UnaryCall(t.Context(), r)
			return err
		})
		t.Logf("%.2f system calls a call", got)
		if got > limits[w.name] {
			t.Errorf("want %.0f at most", limits[w.name])
		}
	})
}
