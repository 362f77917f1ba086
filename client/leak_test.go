package client_test

import (
	"runtime"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// heap returns the size of the live heap in bytes.
func heap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // not that large
}

// A client that reconnects 300 times has at the end what it had at the start, and
// so has its server: however a session ends.
func TestReconnectsLeaveNothingBehind(t *testing.T) {
	ends := []func(*server.Session){
		func(s *server.Session) { s.Close("again") },
		func(s *server.Session) { s.Drain("elsewhere") },
	}
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		conns := newConnections()
		c := client.New(push.Dial(t), "c1", conns.option(), client.WithBackoff(backoff.Config{}))
		testgrpc.RegisterTestServiceServer(c, interop.NewTestServer())
		stopped := make(chan error, 1)
		go func() { stopped <- c.Serve(t.Context()) }()
		<-conns.came
		stub := testgrpc.NewTestServiceClient(push.Client("c1"))
		reconnect := func(times int) {
			for i := range times {
				if _, err := stub.EmptyCall(t.Context(), &testgrpc.Empty{}, grpc.WaitForReady(true)); err != nil {
					t.Fatal(err)
				}
				for s := range push.Sessions() {
					ends[i%len(ends)](s)
				}
				<-conns.came
				<-conns.went
				synctest.Wait()
			}
		}
		reconnect(20)
		before, goroutines := heap(), runtime.NumGoroutine()
		reconnect(300)
		after := heap()
		if got := runtime.NumGoroutine(); got > goroutines {
			t.Errorf("got %d goroutines, want no more than the %d before", got, goroutines)
		}
		// 400 bytes for each: a session that stays behind has a hundred times that.
		if got := after - before; got > 300*400 {
			t.Errorf("got %d bytes more in the heap, want no more than %d", got, 300*400)
		}
		t.Logf("300 reconnects: %d bytes more in the heap", after-before)
		if err := c.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}
