package server_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc/metadata"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// watchers watches so many times until the function that it returns is called. Each
// calls left for each session that has left.
func watchers(s *server.Server, n int, left func()) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var began, ended sync.WaitGroup
	for range n {
		began.Add(1)
		ended.Go(func() {
			for c := range s.Watch(ctx) {
				switch {
				case c.Revision == 0:
					began.Done()
				case c.Kind == server.SessionLeft:
					left()
				}
			}
		})
	}
	began.Wait()
	return func() {
		cancel()
		ended.Wait()
	}
}

// BenchmarkEnter is the registry's part of a session that comes and goes, with so
// many that watch, on the goroutine of the session.
func BenchmarkEnter(b *testing.B) {
	for _, n := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("watchers=%d", n), func(b *testing.B) {
			s := server.New()
			defer watchers(s, n, func() {})()
			b.ReportAllocs()
			for b.Loop() {
				s.EnterAndLeave()
			}
		})
	}
}

// BenchmarkTell is the same, until all who watch have been told and wait again: what
// a session costs that comes alone and goes.
func BenchmarkTell(b *testing.B) {
	for _, n := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("watchers=%d", n), func(b *testing.B) {
			s := server.New()
			told := make(chan struct{}, n)
			defer watchers(s, n, func() { told <- struct{}{} })()
			b.ReportAllocs()
			for b.Loop() {
				s.EnterAndLeave()
				for range n {
					<-told
				}
			}
		})
	}
}

// BenchmarkConnect is a session over gRPC in memory, from the client's stream to the
// server's hello and back to its end, with so many that watch.
func BenchmarkConnect(b *testing.B) {
	for _, n := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("watchers=%d", n), func(b *testing.B) {
			push := tunneltest.NewServer(b, server.WithConnectRate(0, 0))
			cc := pb.NewPushTunnelClient(push.Dial(b))
			defer watchers(push.Server, n, func() {})()
			hello := &pb.Batch{Frames: []*pb.Frame{{Hello: &pb.Hello{Version: 1, CallWindow: 64 << 10, MaxCalls: 100, MaxMetadata: 64 << 10}}}}
			b.ReportAllocs()
			for b.Loop() {
				ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(b.Context(), "clientname", "c1"))
				stream, err := cc.Connect(ctx)
				if err != nil {
					b.Fatal(err)
				}
				if err := stream.Send(hello); err != nil {
					b.Fatal(err)
				}
				if _, err := stream.Recv(); err != nil {
					b.Fatal(err)
				}
				cancel()
			}
		})
	}
}

// BenchmarkSnapshot is the beginning of a watch with so many sessions: what it takes
// to copy them, for which the registry can be read but not changed.
func BenchmarkSnapshot(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			s := server.New(server.WithMaxSessionsPerName(0))
			s.Enter(n)
			b.ReportAllocs()
			for b.Loop() {
				for c := range s.Watch(b.Context()) {
					if len(c.Sessions) != n {
						b.Fatalf("got %d sessions, want %d", len(c.Sessions), n)
					}
					break
				}
			}
		})
	}
}
