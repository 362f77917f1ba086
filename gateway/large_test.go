package gateway_test

import (
	"errors"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// TestLargeStream moves far more than may be held, in each direction and with the
// slow end at each of the two: 64 MiB, or 1 GiB with PUSHTUNNEL_GATEWAY_LARGE set.
func TestLargeStream(t *testing.T) {
	total := 64 << 20
	if os.Getenv("PUSHTUNNEL_GATEWAY_LARGE") != "" {
		total = 1 << 30
	}
	const size = 256 << 10
	body := &testgrpc.Payload{Body: make([]byte, size)}
	s := &service{stream: func(stream testgrpc.TestService_FullDuplexCallServer) error {
		first, err := stream.Recv()
		if err != nil {
			return err
		}
		for range first.GetResponseParameters() { // a download
			if err := stream.Send(&testgrpc.StreamingOutputCallResponse{Payload: body}); err != nil {
				return err
			}
		}
		for { // an upload
			if _, err := stream.Recv(); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}}
	for name, set := range map[string]setup{"gRPC stream": {}, "direct": {direct: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, set)
			w.connect(t, "c1", s.register)
			stub := testgrpc.NewTestServiceClient(w.caller(t, "pushtunnel-client", "c1"))
			stop := watchHeap(t, 64<<20)
			defer stop()
			stream, err := stub.FullDuplexCall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: make([]*testgrpc.ResponseParameters, total/size)}); err != nil {
				t.Fatal(err)
			}
			for range total / size {
				if _, err := stream.Recv(); err != nil {
					t.Fatal(err)
				}
			}
			for range total / size {
				if err := stream.Send(&testgrpc.StreamingOutputCallRequest{Payload: body}); err != nil {
					t.Fatal(err)
				}
			}
			if err := stream.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != io.EOF {
				t.Fatalf("got %v, want the end", err)
			}
		})
	}
}

// watchHeap fails the test if the live heap grows by more than most before stop.
func watchHeap(t *testing.T, most uint64) (stop func()) {
	t.Helper()
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	base := live()
	var peak atomic.Uint64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if n := live(); n > peak.Load() {
					peak.Store(n)
				}
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		p := peak.Load()
		t.Logf("the heap: %d KiB before, %d KiB at most", base>>10, p>>10)
		if p > base+most {
			t.Errorf("the live heap has grown from %d to %d bytes, by more than %d", base, p, most)
		}
	}
}

// TestBackpressure has a caller that does not read, and a client that does not: each
// sender is held up after a bounded number of bytes.
func TestBackpressure(t *testing.T) {
	for name, set := range map[string]setup{"gRPC stream": {}, "direct": {direct: true}} {
		t.Run(name, func(t *testing.T) {
			const size, most = 64 << 10, 24 << 20 // the windows of two hops, and what they buffer
			body := &testgrpc.Payload{Body: make([]byte, size)}
			var sent atomic.Int64
			held := make(chan struct{})
			s := &service{stream: func(stream testgrpc.TestService_FullDuplexCallServer) error {
				if _, err := stream.Recv(); err != nil {
					return err
				}
				defer close(held)
				for {
					if err := stream.Send(&testgrpc.StreamingOutputCallResponse{Payload: body}); err != nil {
						return err
					}
					sent.Add(size)
				}
			}}
			w := newWorld(t, set)
			w.connect(t, "c1", s.register)
			cc := w.caller(t, "pushtunnel-client", "c1")
			stream, err := testgrpc.NewTestServiceClient(cc).FullDuplexCall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			up := make(chan int64, 1)
			go func() {
				n := int64(0)
				for n < 4*most && stream.Send(&testgrpc.StreamingOutputCallRequest{Payload: body}) == nil {
					n += size
				}
				up <- n
			}()
			quiet(t, &sent)
			cc.Close() // and nobody is stuck
			<-held
			if n := sent.Load(); n > most {
				t.Errorf("the client has sent %d bytes that nobody reads, more than %d", n, most)
			}
			if n := <-up; n > most {
				t.Errorf("the caller has sent %d bytes that nobody reads, more than %d", n, most)
			}
		})
	}
}

// quiet returns when n has grown and then not grown for a while.
func quiet(t *testing.T, n *atomic.Int64) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for last, same := int64(0), 0; same < 5; {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
		switch now := n.Load(); {
		case now == last && now > 0:
			same++
		default:
			last, same = now, 0
		}
	}
}
