package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/pushtunnel/pushtunnel/bench/benchpb"
)

// The standard benchmarks of the hot paths, for benchstat:
//
//	go test -run '^$' -bench . -count 6 | tee new.txt
//	go tool -modfile=../tools/go.mod benchstat -col /contender new.txt
//	go tool -modfile=../tools/go.mod benchstat old.txt new.txt
//
// A time is for one call, or for one message of a stream. Allocations are of
// both ends together.

// contenders are the same as in the table, under the keys of the benchmarks'
// names.
var contenders = []struct {
	key string
	contender
	links []link
}{
	{"plain", plainGRPC, []link{{}, {tls: true}, {recommended: true}}},
	{"naive", naiveTunnel, []link{{}, {tls: true}}},
	{"nats", natsRequest, []link{{}}},
	{"tunnel", pushTunnel, []link{{}, {tls: true}}},
	{"direct", pushDirect, []link{{}, {tls: true}}},
	{"native", nativeProtocol, []link{{}}},
	{"raw", rawFrames, []link{{}}},
}

func BenchmarkUnary(b *testing.B) {
	for _, c := range contenders {
		for _, w := range []struct {
			callers, clients, size int
			timeout                time.Duration
		}{
			{1, 1, 100, 0},
			{1, 1, 16 << 10, 0},
			{64, 1, 100, 0},
			{64, 1, 100, time.Minute},
			{64, 1, 16 << 10, 0},
			{64, 1000, 100, 0},
			{64, 1000, 16 << 10, 0},
		} {
			name := fmt.Sprintf("contender=%s/callers=%d/clients=%d/size=%d/deadline=%t",
				c.key, w.callers, w.clients, w.size, w.timeout > 0)
			b.Run(name, func(b *testing.B) {
				f := benchFleet(b, c.contender, w.clients)
				data := make([]byte, w.size)
				if w.callers == 1 {
					for b.Loop() {
						if err := callOnce(f, w.timeout, data); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				b.SetParallelism(max(1, w.callers/runtime.GOMAXPROCS(0)))
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := callOnce(f, w.timeout, data); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

// BenchmarkPick calls names at random, whose sessions answer at once: what is left is
// how the server finds a session.
func BenchmarkPick(b *testing.B) {
	for _, names := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("names=%d", names), func(b *testing.B) {
			r, err := newFilledRegistry()
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				if err := r.close(); err != nil {
					b.Errorf("close: %v", err)
				}
			})
			if _, err := r.fill(names); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := r.callOnce(b.Context()); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkFanout calls each of 100 clients once.
func BenchmarkFanout(b *testing.B) {
	for _, c := range contenders {
		b.Run("contender="+c.key, func(b *testing.B) {
			f := benchFleet(b, c.contender, 100)
			for b.Loop() {
				if _, err := f.fanOut(job{Kind: fanout, Size: 100}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDownload has the client send a stream of messages to the server.
func BenchmarkDownload(b *testing.B) {
	benchStreams(b, func(b *testing.B, stub benchpb.EchoClient, size int) error {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel() // there is always more to come
		stream, err := stub.Download(ctx, &benchpb.DownloadRequest{Messages: math.MaxUint32, Size: uint32(size)})
		if err != nil {
			return err
		}
		for b.Loop() {
			if _, err := stream.Recv(); err != nil {
				return err
			}
		}
		return nil
	})
}

// BenchmarkUpload has the server send a stream of messages to the client.
func BenchmarkUpload(b *testing.B) {
	benchStreams(b, func(b *testing.B, stub benchpb.EchoClient, size int) error {
		stream, err := stub.Upload(b.Context())
		if err != nil {
			return err
		}
		message := &benchpb.Payload{Data: make([]byte, size)}
		for b.Loop() {
			if err := stream.Send(message); err != nil {
				return err
			}
		}
		reply, err := stream.CloseAndRecv()
		if err == nil && int(reply.GetMessages()) != b.N {
			err = fmt.Errorf("sent %d messages, the client got %d", b.N, reply.GetMessages())
		}
		return err
	})
}

// BenchmarkChat sends a message when the answer to the one before has come.
func BenchmarkChat(b *testing.B) {
	benchStreams(b, func(b *testing.B, stub benchpb.EchoClient, size int) error {
		stream, err := stub.Chat(b.Context())
		if err != nil {
			return err
		}
		message := &benchpb.Payload{Data: make([]byte, size)}
		for b.Loop() {
			if err := stream.Send(message); err != nil {
				return err
			}
			if _, err := stream.Recv(); err != nil {
				return err
			}
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			return fmt.Errorf("after CloseSend: got %w, want EOF", err)
		}
		return nil
	})
}

// benchStreams runs stream, which moves a message of a size in each iteration, on
// one call, for the contenders that have streams.
func benchStreams(b *testing.B, stream func(*testing.B, benchpb.EchoClient, int) error) {
	for _, c := range contenders {
		if !c.streams {
			continue
		}
		for _, size := range []int{100, 64 << 10} {
			b.Run(fmt.Sprintf("contender=%s/size=%d", c.key, size), func(b *testing.B) {
				f := benchFleet(b, c.contender, 1)
				b.SetBytes(int64(size))
				if err := stream(b, f.caller.stub(f.names[0]), size); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// benchFleet starts a fleet that has answered a few calls already and ends with
// the benchmark.
func benchFleet(b *testing.B, c contender, clients int) *fleet {
	b.Helper()
	holdLiveData(defaultLiveData)
	f, err := startFleet(c, link{}, clients)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := f.close(); err != nil {
			b.Errorf("close: %v", err)
		}
	})
	for range 2 * clients {
		if err := callOnce(f, 0, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	return f
}
