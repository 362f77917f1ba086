package production

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	tunnelpb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// dialGRPC returns a gRPC connection to the fleet.
func (f *fleet) dialGRPC(t testing.TB, certs ...tls.Certificate) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient(f.addr, grpc.WithTransportCredentials(credentials.NewTLS(f.clientTLS(certs...))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// try opens a session and returns its id, or why there is none. The session is left
// open.
func try(t testing.TB, cc *grpc.ClientConn, name, previous string) (id string, err error) {
	t.Helper()
	stream, err := tunnelpb.NewPushTunnelClient(cc).Connect(metadata.NewOutgoingContext(t.Context(), metadata.Pairs(tunnel.NameKey, name)))
	if err != nil {
		return "", err
	}
	stream.Send(hello(&tunnelpb.Hello{PreviousSession: previous})) //nolint:errcheck // Recv tells
	for {
		batch, err := stream.Recv()
		if err != nil {
			return "", err
		}
		if h := batch.GetFrames()[0].GetHello(); h != nil {
			return h.GetSessionId(), nil
		} // a close, and the status behind it
	}
}

// A client that comes again and again, and has a right to, keeps no others out.
func TestOneClientDoesNotUseUpTheConnects(t *testing.T) {
	f := launch(t, server.WithIdentity(server.CertificateIdentity), server.WithConnectRate(0.001, 20),
		server.WithMaxSessionsPerSubject(1), server.WithConnectRatePerSubject(0.001, 4))
	cc := f.dialGRPC(t, f.ca.Issue(t, "mallory"))
	refused := map[tunnel.Limit]int{}
	for range 100 {
		_, err := try(t, cc, "mallory", "")
		if err == nil {
			continue
		}
		l, _ := tunnel.LimitOf(err)
		refused[l]++
	}
	if refused[tunnel.LimitConnectRatePerSubject] != 96 {
		t.Errorf("refused were %v, want 96 for the rate of the subject", refused)
	}
	for _, name := range []string{"kitchen", "hall", "garage"} {
		m := f.come(t, "grpc", name, []tls.Certificate{f.ca.Issue(t, name)})
		if n := len(m.retried); n > 0 {
			t.Errorf("%s had to try %d times", name, n+1)
		}
	}
}

// Sessions that have been left behind count, too: a client can't have any number of
// them by saying that it moves.
func TestSessionsThatAreLeftBehindAreCounted(t *testing.T) {
	f := launch(t, server.WithMaxSessionsPerName(2))
	cc := f.dialGRPC(t)
	previous := ""
	for n := range 50 {
		id, err := try(t, cc, "a", previous)
		if err != nil {
			if l, _ := tunnel.LimitOf(err); l != tunnel.LimitSessionsPerName {
				t.Errorf("session %d: %v", n, err)
			}
			if n > 12 {
				t.Errorf("there were %d sessions, want 2, and 8 that have been left", n)
			}
			return
		}
		previous = id
	}
	t.Error("there was no limit")
}

// A session's id is of no use to another subject, or in another namespace.
func TestAnIDThatLeaksTakesNothing(t *testing.T) {
	f := launch(t, server.WithIdentity(bySource), server.WithDuplicates(server.RefuseDuplicates))
	f.come(t, "grpc", "kitchen", nil)
	var id string
	for s := range f.Sessions("kitchen") {
		id = s.ID()
	}
	if _, err := try(t, f.dialGRPC(t), "kitchen", id); status.Code(err) != codes.AlreadyExists {
		t.Errorf("with the id of another: %v", err)
	}
	wantAnswer(t, f.Client("kitchen"), "kitchen hello")
}

// Pushes to a native client that does not read are bounded, for it alone.
func TestPushesToANativeClientThatDoesNotRead(t *testing.T) {
	const queued, memory = 4 << 20, 64 << 20
	f := launch(t, server.WithMaxQueued(queued), server.WithMaxMemory(memory))
	conn, err := tls.Dial("tcp", f.native, f.clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(registration(1, "deaf")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, native.BRPC.Size())); err != nil {
		t.Fatal(err)
	}
	f.come(t, "native", "kitchen", nil)
	large := strings.Repeat("x", 1<<20)
	failed := make(chan error, 100)
	var callers sync.WaitGroup
	for range cap(failed) {
		callers.Go(func() {
			_, err := pb.NewUserPushApiClient(f.Client("deaf")).ClientReceive(within(t), &pb.ClientReceiveRequest{Extra: large})
			failed <- err
		})
	}
	for range cap(failed) - queued>>20 {
		err := await(t, failed, "refusal")
		if l, _ := tunnel.LimitOf(err); l != tunnel.LimitQueued || !tunnel.NotSent(err) {
			t.Fatalf("a push: %v", err)
		}
	}
	wantAnswer(t, f.Client("kitchen"), "kitchen hello")
	conn.Close()
	callers.Wait()
	if used, _ := f.Memory(); used != 0 {
		t.Errorf("%d bytes are taken at the end", used)
	}
}

// Connections without a name hold a quarter of the memory at most: what is sent to
// clients has room.
func TestStrangersDoNotUseUpTheMemory(t *testing.T) {
	const memory = 16 << 20
	f := launchNative(t, twoPorts, []native.Option{native.WithMaxAnonymousBody(64 << 20)}, server.WithMaxMemory(memory))
	f.come(t, "grpc", "kitchen", nil)
	var closed sync.WaitGroup
	for range 4 {
		conn, err := tls.Dial("tcp", f.native, f.clientTLS())
		if err != nil {
			t.Fatal(err)
		}
		closed.Go(func() {
			conn.Write(nativeHead(native.TypeRequest, 32<<20)) //nolint:errcheck // the server closes it
			for range 32 << 4 {
				if _, err := conn.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
			t.Error("a stranger has sent 32 MiB")
		})
		defer conn.Close()
	}
	ctx := within(t)
	for used := int64(0); used < 1<<20 && ctx.Err() == nil; used, _ = f.Memory() {
		runtime.Gosched()
	}
	large := strings.Repeat("x", 1<<20)
	r, err := pb.NewUserPushApiClient(f.Client("kitchen")).ClientReceive(within(t), &pb.ClientReceiveRequest{Extra: large})
	if err != nil || r.GetResult() != "kitchen "+large {
		t.Errorf("a push of 1 MiB: %v", err)
	}
	closed.Wait()
}

// A body of a connection without a name has a limit of its own.
func TestBodiesOfStrangers(t *testing.T) {
	f := launch(t)
	conn, err := tls.Dial("tcp", f.native, f.clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(nativeHead(native.TypeRequest, 4<<20+1)) //nolint:errcheck // ReadAll tells
	if b, err := io.ReadAll(conn); len(b) > 0 || err != nil && !isReset(err) {
		t.Errorf("got %d bytes, %v, want an end", len(b), err)
	}
}

// Mapped addresses are what they stand for.
func TestAllowMappedAddresses(t *testing.T) {
	push := server.New()
	defer push.Close()
	l := push.AllowAddresses(listen(t), netip.MustParsePrefix("::ffff:127.0.0.0/104"))
	defer l.Close()
	go func() {
		if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
			conn.Close()
		}
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
