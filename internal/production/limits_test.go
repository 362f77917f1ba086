package production

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// wantLimit checks that something was refused because of a limit.
func wantLimit(t testing.TB, what string, err error, want tunnel.Limit, text string) {
	t.Helper()
	wantStatus(t, what, err, codes.ResourceExhausted, text)
	if got, ok := tunnel.LimitOf(err); !ok || got != want {
		t.Errorf("%s: got the limit %q, want %q", what, got, want)
	}
}

func TestSessionsPerServer(t *testing.T) {
	each(t, func(t *testing.T, way string) {
		f := launch(t, server.WithMaxSessions(2))
		first := f.come(t, way, "a", nil)
		f.come(t, way, "b", nil)
		third := f.join(t, way, "c", nil)
		r := await(t, f.refused, "refusal")
		wantLimit(t, "the third", r.reason, tunnel.LimitSessions, `pushtunnel: the limit "sessions" is reached: 2 sessions of the server`)
		await(t, third.retried, "attempt")
		f.wantNames(t, "/a", "/b")
		wantAnswer(t, f.Client("a"), "a hello")
		// It tries again, and gets in when there is room.
		first.cancel()
		await(t, third.connected, "session")
		wantAnswer(t, f.Client("c"), "c hello")
	})
}

func TestSessionsPerName(t *testing.T) {
	each(t, func(t *testing.T, way string) {
		f := launch(t, server.WithMaxSessionsPerName(1), server.WithIdentity(bySource))
		f.come(t, way, "a", nil)
		f.join(t, way, "a", nil)
		r := await(t, f.refused, "refusal")
		wantLimit(t, "the second", r.reason, tunnel.LimitSessionsPerName, `pushtunnel: the limit "sessions_per_name" is reached: 1 sessions of client "a"`)
		f.come(t, way, "b", nil)
		f.wantNames(t, "/a", "/b")
	})
}

// bySource takes each connection of a native client for a client of its own.
func bySource(ctx context.Context, c server.Candidate) (server.Identity, error) {
	id, err := server.TrustClaims(ctx, c)
	id.Subject = c.Peer.Addr.String()
	return id, err
}

func TestSessionsPerSubject(t *testing.T) {
	bySubject := func(ctx context.Context, c server.Candidate) (server.Identity, error) {
		id, err := server.TrustClaims(ctx, c)
		id.Subject = c.Name[:1]
		return id, err
	}
	each(t, func(t *testing.T, way string) {
		f := launch(t, server.WithMaxSessionsPerSubject(2), server.WithIdentity(bySubject))
		first := f.come(t, way, "a1", nil)
		f.come(t, way, "a2", nil)
		third := f.join(t, way, "a3", nil)
		r := await(t, f.refused, "refusal")
		wantLimit(t, "the third", r.reason, tunnel.LimitSessionsPerSubject, `pushtunnel: the limit "sessions_per_subject" is reached: 2 sessions of "a"`)
		f.come(t, way, "b1", nil)
		f.wantNames(t, "/a1", "/a2", "/b1")
		first.cancel()
		await(t, third.connected, "session")
	})
}

// A client that moves is not in its own way, though it has two sessions for a
// while.
func TestMovingWithinTheLimits(t *testing.T) {
	for _, way := range []string{"grpc", "direct"} { // native clients can't be asked to move
		t.Run(way, func(t *testing.T) {
			f := launch(t, server.WithMaxSessionsPerName(1), server.WithMaxSessionsPerSubject(1),
				server.WithIdentity(func(ctx context.Context, c server.Candidate) (server.Identity, error) {
					id, err := server.TrustClaims(ctx, c)
					id.Subject = c.Name
					return id, err
				}))
			m := f.come(t, way, "a", nil)
			for range 5 {
				for s := range f.Sessions("a") {
					s.Drain("a test")
				}
				await(t, m.connected, "next session")
				wantAnswer(t, f.Client("a"), "a hello")
			}
			if n := len(f.refused); n > 0 {
				t.Errorf("%d refusals, the first: %v", n, (<-f.refused).reason)
			}
		})
	}
}

// Sessions come at the rate that is set. Those that must wait are told for how
// long, each something else, and get in.
func TestConnectRate(t *testing.T) {
	each(t, func(t *testing.T, way string) {
		const perSecond, burst, clients = 50, 4, 12
		f := launch(t, server.WithConnectRate(perSecond, burst))
		start := time.Now()
		members := make([]*member, clients)
		for i := range members {
			members[i] = f.join(t, way, fmt.Sprint("c", i), nil)
		}
		for _, m := range members {
			await(t, m.connected, "session")
		}
		if took, least := time.Since(start), (clients-burst)*time.Second/perSecond; took < least {
			t.Errorf("%d clients came in %v, want it to take %v at least", clients, took, least)
		}
		r := await(t, f.refused, "refusal")
		wantLimit(t, "one too many", r.reason, tunnel.LimitConnectRate, `pushtunnel: the limit "connect_rate" is reached: 50 sessions in a second`)
		if len(status.Convert(r.reason).Details()) != 2 {
			t.Errorf("it is not told when to come back: %v", status.Convert(r.reason).Details())
		}
	})
}

// A client that is refused for what it is does not use up what others may.
func TestRefusedClientsDoNotCountAsConnects(t *testing.T) {
	f := launch(t, server.WithConnectRate(0.001, 2), server.WithIdentity(server.CertificateIdentity))
	for range 5 {
		m := f.join(t, "grpc", "kitchen", nil)
		await(t, m.stopped, "end of the client")
	}
	f.come(t, "grpc", "kitchen", []tls.Certificate{f.ca.Issue(t, "kitchen")})
}

func TestConnections(t *testing.T) {
	f := launch(t, server.WithMaxConnections(2))
	dial := func() net.Conn {
		conn, err := tls.Dial("tcp", f.native, f.clientTLS())
		if err != nil {
			return nil
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	first, second := dial(), dial()
	if first == nil || second == nil {
		t.Fatal("there is no room for two connections")
	}
	if third := dial(); third != nil {
		t.Error("there is room for a third connection")
	}
	r := await(t, f.refused, "refusal")
	wantLimit(t, "the third", r.reason, tunnel.LimitConnections, `pushtunnel: the limit "connections" is reached: 2 connections`)
	first.Close()
	for ctx := within(t); ; { // when the server has noticed
		if conn := dial(); conn != nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal("there is no room for another connection")
		}
	}
}

func TestCallsPerSession(t *testing.T) {
	each(t, func(t *testing.T, way string) {
		f := launch(t, server.WithMaxCallsPerSession(2))
		f.come(t, way, "a", nil)
		f.come(t, way, "b", nil)
		ctx, cancel := context.WithCancel(within(t))
		var hanging sync.WaitGroup
		for range 2 {
			hanging.Go(func() {
				pb.NewUserPushApiClient(f.Client("a")).ClientReceive(ctx, &pb.ClientReceiveRequest{Extra: "hang"}) //nolint:errcheck // it hangs
			})
		}
		await(t, f.hangs, "call that hangs")
		await(t, f.hangs, "call that hangs")
		_, err := ask(within(t), f.Client("a"))
		wantLimit(t, "the third call", err, tunnel.LimitOutgoingCalls, `pushtunnel: client "a": the limit "outgoing_calls" is reached: 2 calls at a time`)
		if !tunnel.NotSent(err) {
			t.Errorf("the third call was sent: %v", err)
		}
		wantAnswer(t, f.Client("b"), "b hello")
		cancel()
		hanging.Wait()
		wantAnswer(t, f.Client("a"), "a hello")
	})
}

func TestCallRate(t *testing.T) {
	each(t, func(t *testing.T, way string) {
		f := launch(t, server.WithCallRate(0.001, 3))
		f.come(t, way, "a", nil)
		f.come(t, way, "b", nil)
		for range 3 {
			wantAnswer(t, f.Client("a"), "a hello")
		}
		finished := 0
		_, err := ask(within(t), f.Client("a"), grpc.OnFinish(func(error) { finished++ }))
		wantLimit(t, "the fourth call", err, tunnel.LimitCallRate, `pushtunnel: the limit "call_rate" is reached`)
		if !tunnel.NotSent(err) || finished != 1 {
			t.Errorf("the fourth call: %v, and was finished %d times", err, finished)
		}
		for s := range f.Sessions("a") {
			if _, err := ask(within(t), s); !tunnel.NotSent(err) {
				t.Errorf("a call to the session: %v", err)
			}
			if _, err := s.NewStream(within(t), &grpc.StreamDesc{}, "/a/b"); !tunnel.NotSent(err) {
				t.Errorf("a stream to the session: %v", err)
			}
		}
		wantAnswer(t, f.Client("b"), "b hello")
		// Another session of the name has a rate of its own.
		f.come(t, way, "a", nil, client.WithLabels(nil))
		if way != "native" { // there it is another connection of the same client
			wantAnswer(t, f.Client("a"), "a hello")
		}
	})
}

// nativeHead returns a head of a native frame of this size.
func nativeHead(typ native.FrameType, body int) []byte {
	return native.BRPC.Append(nil, native.Head{Type: typ, CorrelationID: 1, Body: body})
}

// Bodies that are not complete share memory. Half of it is kept for clients that
// have a name.
func TestMemoryOfNativeFrames(t *testing.T) {
	const memory, half = 4 << 20, 2 << 20
	f := launch(t, server.WithMaxMemory(memory))
	stall := func(body, sent int) net.Conn {
		t.Helper()
		conn, err := tls.Dial("tcp", f.native, f.clientTLS())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.Write(append(nativeHead(native.TypeRequest, body), make([]byte, sent)...)) //nolint:errcheck // the server may close it
		return conn
	}
	greedy := stall(32<<20, half+1<<20)
	if _, err := io.ReadAll(greedy); err != nil && !isReset(err) {
		t.Errorf("the connection that wants too much: %v", err)
	}
	// What it held is free again, and a client with a name has the other half, too.
	stall(1<<20, 1<<20-1)
	m := f.come(t, "native", "a", nil)
	wantAnswer(t, f.Client("a"), "a hello")
	m.cancel()
	f.Close()
	if used, _ := f.Memory(); used != 0 {
		t.Errorf("%d bytes are taken at the end", used)
	}
}

func isReset(err error) bool {
	_, ok := err.(*net.OpError) //nolint:errorlint // what package net returns
	return ok
}

// Calls of native clients come at the rate that is set.
func TestCallRateOfNativeClients(t *testing.T) {
	var services native.Services
	pb.RegisterEchoServiceServer(&services, &echo{})
	f := launchNative(t, twoPorts, []native.Option{
		native.WithServices(&services), native.WithCallRate(0.001, 2), native.WithErrorPolicy(native.CloseConnection),
	})
	dial := func(ctx context.Context, addr string) (net.Conn, error) {
		return (&tls.Dialer{Config: f.clientTLS()}).DialContext(ctx, "tcp", addr)
	}
	e := native.Dialer(f.native, native.WithDialFunc(dial), native.WithCalls(&pb.EchoService_ServiceDesc))
	defer e.Close()
	for i := range 3 {
		_, err := pb.NewEchoServiceClient(e).Echo(within(t), &pb.EchoRequest{Message: "x"})
		if (err == nil) != (i < 2) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

type echo struct {
	pb.UnimplementedEchoServiceServer
}

func (*echo) Echo(_ context.Context, r *pb.EchoRequest) (*pb.EchoResponse, error) {
	return &pb.EchoResponse{Message: r.GetMessage()}, nil
}

// The sizes of messages and metadata.
func TestSizes(t *testing.T) {
	for _, way := range []string{"grpc", "direct"} {
		t.Run(way, func(t *testing.T) {
			f := launch(t)
			f.come(t, way, "a", nil)
			_, err := ask(within(t), f.Client("a"), grpc.MaxCallRecvMsgSize(3))
			if l, _ := tunnel.LimitOf(err); l != tunnel.LimitMessage || status.Code(err) != codes.ResourceExhausted {
				t.Errorf("a large answer: %v", err)
			}
			_, err = ask(within(t), f.Client("a"), grpc.MaxCallSendMsgSize(3))
			if l, _ := tunnel.LimitOf(err); l != tunnel.LimitMessage || !tunnel.NotSent(err) {
				t.Errorf("a large request: %v", err)
			}
		})
	}
}
