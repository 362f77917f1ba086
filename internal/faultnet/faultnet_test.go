package faultnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pushtunnel/pushtunnel/internal/faultnet"
)

const latency = 20 * time.Millisecond

// connect returns both ends of a new connection, and closes them when the
// test ends.
func connect(t testing.TB, n *faultnet.Network) (client, server *faultnet.Conn) {
	t.Helper()
	ln := n.Listener()
	client, err := n.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server = accepted.(*faultnet.Conn)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

func write(t testing.TB, conn net.Conn, data string) {
	t.Helper()
	if n, err := io.WriteString(conn, data); n != len(data) || err != nil {
		t.Fatalf("Write = %d, %v; want %d, nil", n, err, len(data))
	}
}

func read(t testing.TB, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

// elapsed checks that exactly want has passed since start.
func elapsed(t testing.TB, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Fatalf("took %v, want %v", got, want)
	}
}

// fails checks that err is want, which may be nil.
func fails(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// silentFor checks that nothing arrives at conn within d.
func silentFor(t testing.TB, conn net.Conn, d time.Duration) {
	t.Helper()
	fails(t, conn.SetReadDeadline(time.Now().Add(d)), nil)
	n, err := conn.Read(make([]byte, 1))
	if n != 0 {
		t.Fatal("a byte arrived")
	}
	fails(t, err, os.ErrDeadlineExceeded)
	fails(t, conn.SetReadDeadline(time.Time{}), nil)
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		client, server := connect(t, faultnet.New(faultnet.Config{Latency: latency}))
		elapsed(t, start, 2*latency)

		start = time.Now()
		write(t, client, "ping")
		elapsed(t, start, 0)
		read(t, server, "ping")
		elapsed(t, start, latency)
		write(t, server, "pong")
		time.Sleep(latency / 2)
		write(t, server, "late")
		read(t, client, "pong")
		elapsed(t, start, 2*latency)
		read(t, client, "late")
		elapsed(t, start, 2*latency+latency/2)
	})
}

func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, faultnet.New(faultnet.Config{Latency: latency, Bandwidth: 1 << 20}))
		start := time.Now()
		write(t, client, string(make([]byte, 2<<20)))
		elapsed(t, start, 0)
		read(t, server, string(make([]byte, 1<<20)))
		elapsed(t, start, time.Second+latency)
		read(t, server, string(make([]byte, 1<<20)))
		elapsed(t, start, 2*time.Second+latency)

		// What a silence held back takes its time again, and no more than that.
		write(t, client, string(make([]byte, 1<<20)))
		client.Silence()
		time.Sleep(time.Millisecond)
		client.Heal()
		start = time.Now()
		read(t, server, string(make([]byte, 1<<20)))
		elapsed(t, start, time.Second+latency)
	})
}

func TestOrder(t *testing.T) {
	configs := map[string]faultnet.Config{
		"plain":        {},
		"latency":      {Latency: latency},
		"bandwidth":    {Latency: latency, Bandwidth: 1_000_003},
		"small buffer": {Latency: time.Millisecond, Buffer: 5000},
	}
	for name, config := range configs {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := faultnet.New(config)
				client, server := connect(t, n)
				var wg sync.WaitGroup
				wg.Go(func() { transfer(t, client, server, 1) })
				wg.Go(func() { transfer(t, server, client, 2) })
				faults := rand.New(rand.NewPCG(3, 3))
				for range 5 {
					time.Sleep(time.Duration(faults.Int64N(int64(40 * time.Millisecond))))
					n.Silence()
					time.Sleep(time.Duration(faults.Int64N(int64(time.Second))))
					n.Heal()
				}
				wg.Wait()
			})
		})
	}
}

// transfer sends bytes in random chunks, and reads and checks them in other
// random chunks.
func transfer(t *testing.T, from, to net.Conn, seed uint64) {
	data := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(data) // never fails
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		random := rand.New(rand.NewPCG(seed, 1))
		chunk := make([]byte, 100_000)
		for rest := data; len(rest) > 0; {
			size := copy(chunk[:1+random.IntN(1+random.IntN(len(chunk)))], rest)
			if n, err := from.Write(chunk[:size]); n != size || err != nil {
				t.Errorf("Write = %d, %v; want %d, nil", n, err, size)
				return
			}
			clear(chunk) // the network must not keep the slice of the caller
			rest = rest[size:]
			time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
		}
	})
	random := rand.New(rand.NewPCG(seed, 2))
	got := make([]byte, 0, len(data))
	for len(got) < len(data) {
		n, err := to.Read(got[len(got):min(cap(got), len(got)+1+random.IntN(50_000))])
		if err != nil {
			t.Errorf("Read: %v", err)
			return
		}
		got = got[:len(got)+n]
	}
	if !bytes.Equal(got, data) {
		t.Error("the bytes read are not the bytes written")
	}
}

func TestConcurrentWritesAreNotMixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, faultnet.New(faultnet.Config{Latency: latency, Buffer: 10}))
		const size = 1000
		for i := range 5 {
			go func() {
				if _, err := client.Write(bytes.Repeat([]byte{byte('a' + i)}, size)); err != nil {
					t.Errorf("Write: %v", err)
				}
			}()
		}
		got := make([]byte, size)
		for range 5 {
			if _, err := io.ReadFull(server, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, bytes.Repeat(got[:1], size)) {
				t.Fatalf("mixed: %q", got)
			}
		}
	})
}

func TestCloseDeliversThenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, faultnet.New(faultnet.Config{Latency: latency, Bandwidth: 1000}))
		start := time.Now()
		write(t, client, "last words")
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		fails(t, client.Close(), net.ErrClosed)
		time.Sleep(latency + 9*time.Millisecond)
		write(t, server, "nobody hears this")
		read(t, server, "last words")
		elapsed(t, start, latency+10*time.Millisecond)
		for range 2 {
			_, err := server.Read(make([]byte, 1))
			fails(t, err, io.EOF)
		}
		_, err := server.Write([]byte("x"))
		fails(t, err, syscall.EPIPE)
		_, err = client.Write([]byte("x"))
		fails(t, err, net.ErrClosed)
	})
}

func TestCloseUnblocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, faultnet.New(faultnet.Config{Latency: latency, Buffer: 1}))
		start := time.Now()
		failures := make(chan error)
		go func() {
			_, err := client.Read(make([]byte, 1))
			failures <- err
		}()
		go func() {
			_, err := client.Write([]byte("xx"))
			failures <- err
		}()
		peer := make(chan error)
		go func() {
			_, err := server.Write([]byte("xx"))
			peer <- err
		}()
		synctest.Wait()
		client.Close()
		fails(t, <-failures, net.ErrClosed)
		fails(t, <-failures, net.ErrClosed)
		elapsed(t, start, 0)
		fails(t, <-peer, syscall.EPIPE)
		elapsed(t, start, latency)
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, faultnet.New(faultnet.Config{Latency: latency, Buffer: 4}))
		start := time.Now()
		fails(t, client.SetDeadline(start.Add(time.Second)), nil)
		_, err := client.Read(make([]byte, 1))
		fails(t, err, os.ErrDeadlineExceeded)
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Fatalf("%v is not a timeout", err)
		}
		elapsed(t, start, time.Second)
		_, err = client.Write([]byte("x"))
		fails(t, err, os.ErrDeadlineExceeded)
		fails(t, client.SetDeadline(time.Time{}), nil)
		write(t, client, "back")
		read(t, server, "back")

		// A deadline set during a call strikes that call.
		start = time.Now()
		time.AfterFunc(time.Second, func() { _ = client.SetReadDeadline(time.Now().Add(time.Second)) })
		_, err = client.Read(make([]byte, 1))
		fails(t, err, os.ErrDeadlineExceeded)
		elapsed(t, start, 2*time.Second)
	})
}

func TestSilence(t *testing.T) {
	for name, latency := range map[string]time.Duration{"latency": latency, "no latency": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := faultnet.New(faultnet.Config{Latency: latency})
				client, server := connect(t, n)
				write(t, client, "arrived ")
				time.Sleep(latency)
				if latency > 0 {
					write(t, client, "under way ")
				}
				n.Silence()
				write(t, client, "silent")
				write(t, server, "answer")
				read(t, server, "arrived ")
				silentFor(t, server, time.Hour)
				silentFor(t, client, time.Hour)

				n.Heal()
				start := time.Now()
				if latency > 0 {
					read(t, server, "under way ")
				}
				read(t, server, "silent")
				read(t, client, "answer")
				elapsed(t, start, latency)
			})
		})
	}
}

func TestSilenceHidesClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New(faultnet.Config{Latency: latency, Buffer: 10})
		client, server := connect(t, n)
		client.Silence()
		write(t, client, "bye")
		client.Close()
		silentFor(t, server, time.Hour)
		fails(t, server.SetWriteDeadline(time.Now().Add(time.Hour)), nil)
		count, err := server.Write(make([]byte, 11))
		if count != 10 {
			t.Fatalf("wrote %d bytes, want 10", count)
		}
		fails(t, err, os.ErrDeadlineExceeded)
		fails(t, server.SetWriteDeadline(time.Time{}), nil)

		time.AfterFunc(time.Second, n.Heal)
		start := time.Now()
		_, err = server.Write([]byte("x"))
		fails(t, err, syscall.EPIPE)
		elapsed(t, start, time.Second+latency)
		read(t, server, "bye")
		_, err = server.Read(make([]byte, 1))
		fails(t, err, io.EOF)
	})
}

func TestSilenceBlocksWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New(faultnet.Config{Latency: latency})
		client, server := connect(t, n)
		n.Silence()
		start := time.Now()
		write(t, client, string(make([]byte, faultnet.DefaultBuffer-1)))
		fails(t, client.SetWriteDeadline(start.Add(3*time.Second)), nil)
		count, err := client.Write([]byte("ab"))
		if count != 1 {
			t.Fatalf("wrote %d bytes, want 1", count)
		}
		fails(t, err, os.ErrDeadlineExceeded)
		elapsed(t, start, 3*time.Second)

		n.Heal()
		fails(t, client.SetWriteDeadline(time.Time{}), nil)
		done := make(chan error)
		go func() {
			_, err := client.Write([]byte("b"))
			done <- err
		}()
		read(t, server, string(make([]byte, faultnet.DefaultBuffer-1))+"ab")
		fails(t, <-done, nil)
	})
}

func TestSilenceOfOneConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New(faultnet.Config{Latency: latency})
		first, firstServer := connect(t, n)
		second, secondServer := connect(t, n)
		if conns := n.Conns(); len(conns) != 2 || conns[0] != first || conns[1] != second {
			t.Fatalf("Conns = %v", conns)
		}
		firstServer.Silence()
		write(t, first, "held")
		write(t, second, "free")
		read(t, secondServer, "free")
		silentFor(t, firstServer, time.Hour)
		first.Heal()
		read(t, firstServer, "held")

		first.Cut()
		write(t, second, "free")
		read(t, secondServer, "free")
		if conns := n.Conns(); len(conns) != 1 || conns[0] != second {
			t.Fatalf("Conns = %v", conns)
		}
		second.Close()
		secondServer.Close()
		if conns := n.Conns(); len(conns) != 0 {
			t.Fatalf("Conns = %v", conns)
		}
	})
}

func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New(faultnet.Config{Latency: latency})
		client, server := connect(t, n)
		write(t, client, "lost")
		n.Silence()
		failures := make(chan error)
		for _, conn := range []net.Conn{client, server} {
			go func() {
				_, err := conn.Read(make([]byte, 1))
				failures <- err
			}()
		}
		go func() {
			_, err := client.Write(make([]byte, 2*faultnet.DefaultBuffer))
			failures <- err
		}()
		synctest.Wait()
		start := time.Now()
		n.Cut()
		for range 3 {
			fails(t, <-failures, syscall.ECONNRESET)
		}
		_, err := server.Write([]byte("x"))
		fails(t, err, syscall.ECONNRESET)
		elapsed(t, start, 0)
		n.Heal()
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		connect(t, n)
	})
}

func TestDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New(faultnet.Config{Latency: latency})
		_, err := n.DialContext(t.Context(), "anywhere")
		fails(t, err, syscall.ECONNREFUSED)

		ln := n.Listener()
		start := time.Now()
		n.RefuseDials(true)
		_, err = n.Dial(t.Context())
		fails(t, err, syscall.ECONNREFUSED)
		elapsed(t, start, 2*latency)
		n.RefuseDials(false)

		// In a silence a dial waits, for its context or for the heal.
		n.Silence()
		start = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = n.Dial(ctx)
		fails(t, err, context.DeadlineExceeded)
		elapsed(t, start, time.Second)
		time.AfterFunc(time.Second, n.Heal)
		conn, err := n.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		elapsed(t, start, 2*time.Second+2*latency)

		// A listener that closes resets what it has not accepted.
		ln.Close()
		fails(t, ln.Close(), net.ErrClosed)
		_, err = conn.Read(make([]byte, 1))
		fails(t, err, syscall.ECONNRESET)
		_, err = ln.Accept()
		fails(t, err, net.ErrClosed)
		_, err = n.Dial(t.Context())
		fails(t, err, syscall.ECONNREFUSED)
		connect(t, n) // on a second listener
	})
}

func TestListenerCloseUnblocksAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := faultnet.New(faultnet.Config{}).Listener()
		time.AfterFunc(time.Second, func() { ln.Close() })
		_, err := ln.Accept()
		fails(t, err, net.ErrClosed)
	})
}

func TestGRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New(faultnet.Config{Latency: latency})
		server := grpc.NewServer()
		server.RegisterService(&echoService, nil)
		var serving sync.WaitGroup
		ln := n.Listener()
		serving.Go(func() {
			if err := server.Serve(ln); err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
		defer serving.Wait()
		defer server.Stop()
		client, err := grpc.NewClient("passthrough:///faultnet",
			grpc.WithContextDialer(n.DialContext),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()

		echo := func(text string, options ...grpc.CallOption) error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			reply := new(wrapperspb.StringValue)
			err := client.Invoke(ctx, "/test.Echo/Echo", wrapperspb.String(text), reply, options...)
			if err == nil && reply.Value != text {
				t.Errorf("reply %d bytes, want %d", len(reply.Value), len(text))
			}
			return err
		}
		if err := echo("hello"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := echo("hello"); err != nil {
			t.Fatal(err)
		}
		elapsed(t, start, 2*latency)
		if err := echo(string(bytes.Repeat([]byte("x"), 3<<20))); err != nil {
			t.Fatal(err)
		}

		n.Silence()
		start = time.Now()
		if err := echo("hello"); status.Code(err) != codes.DeadlineExceeded {
			t.Fatalf("error %v, want DeadlineExceeded", err)
		}
		elapsed(t, start, 10*time.Second)
		n.Heal()
		if err := echo("hello"); err != nil {
			t.Fatal(err)
		}

		n.RefuseDials(true)
		n.Cut()
		if err := echo("hello"); status.Code(err) != codes.Unavailable {
			t.Fatalf("error %v, want Unavailable", err)
		}
		n.RefuseDials(false)
		if err := echo("hello", grpc.WaitForReady(true)); err != nil {
			t.Fatal(err)
		}
	})
}

var echoService = grpc.ServiceDesc{
	ServiceName: "test.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			message := new(wrapperspb.StringValue)
			return message, decode(message)
		},
	}},
}

func BenchmarkTransfer(b *testing.B) {
	client, server := connect(b, faultnet.New(faultnet.Config{Latency: time.Millisecond}))
	chunk := make([]byte, 32<<10)
	b.SetBytes(int64(len(chunk)))
	go func() {
		for range b.N {
			if _, err := client.Write(chunk); err != nil {
				b.Errorf("Write: %v", err)
				return
			}
		}
	}()
	if _, err := io.CopyN(io.Discard, server, int64(b.N*len(chunk))); err != nil {
		b.Fatal(err)
	}
}
