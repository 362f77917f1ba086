package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	userpb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/internal/certtest"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// nativePush is the native protocol, with a service that is pushed.
func nativePush() tunnel.Protocol {
	return native.Protocol(native.WithPushes(&userpb.UserPushApi_ServiceDesc))
}

// user answers the pushes of a native client.
type user struct {
	userpb.UnimplementedUserPushApiServer
}

func (user) ClientReceive(context.Context, *userpb.ClientReceiveRequest) (*userpb.PushResult, error) {
	return &userpb.PushResult{Result: "native"}, nil
}

// dialFunc connects to a port.
type dialFunc func(ctx context.Context) (net.Conn, error)

// dribble sends the first bytes one at a time.
type dribble struct {
	net.Conn
	left int
}

func (c *dribble) Write(b []byte) (n int, err error) {
	for ; c.left > 0 && len(b) > 0; c.left-- {
		if _, err := c.Conn.Write(b[:1]); err != nil {
			return n, err
		}
		n, b = n+1, b[1:]
		time.Sleep(time.Millisecond) // of the bubble
	}
	more, err := c.Conn.Write(b)
	return n + more, err
}

// encrypt returns a dial that speaks TLS.
func encrypt(dial dialFunc, cfg *tls.Config, protocols ...string) dialFunc {
	cfg = cfg.Clone()
	cfg.NextProtos = protocols
	return func(ctx context.Context) (net.Conn, error) {
		raw, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(raw, cfg)
		if err := conn.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		return conn, nil
	}
}

// join connects a client of a protocol, and returns it. cfg is nil for plaintext.
func join(t *testing.T, protocol string, dial dialFunc, cfg *tls.Config) *running {
	t.Helper()
	creds := insecure.NewCredentials()
	if cfg != nil {
		creds = credentials.NewTLS(cfg)
	}
	cc, err := grpc.NewClient("passthrough:///port", grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			if protocol != "grpc" {
				return nil, errors.New("this is not to be used")
			}
			return dial(ctx)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	switch protocol {
	case "direct":
		if cfg != nil {
			dial = encrypt(dial, cfg, tunnel.ALPN, "h2")
		}
		return run(t, cc, protocol, answers(protocol), client.WithDirectDialer(dial))
	case "native":
		if cfg != nil {
			dial = encrypt(dial, cfg)
		}
		e := native.Dialer("port", native.WithDialFunc(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
		return runDialer(t, client.NewDialer(e, protocol), func(r grpc.ServiceRegistrar) { userpb.RegisterUserPushApiServer(r, user{}) })
	}
	return run(t, cc, protocol, answers(protocol))
}

// wantReached checks that a push gets to the client of a protocol, over it.
func wantReached(t *testing.T, push *server.Server, protocol string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got string
	var err error
	if protocol == "native" {
		var r *userpb.PushResult
		r, err = userpb.NewUserPushApiClient(push.Client(protocol)).ClientReceive(ctx, &userpb.ClientReceiveRequest{}, grpc.WaitForReady(true))
		got = r.GetResult()
	} else {
		got, err = ask(ctx, push.Client(protocol), grpc.WaitForReady(true))
	}
	if got != protocol || err != nil {
		t.Errorf("%s: got %q, %v", protocol, got, err)
		return
	}
	for s := range push.Sessions(protocol) {
		if s.Peer().Protocol != protocol {
			t.Errorf("%s: got a session over %s", protocol, s.Peer().Protocol)
		}
	}
}

// What a port takes, and what it does not: each protocol with TLS and without, at once
// and a byte at a time.
func TestOnePort(t *testing.T) {
	all := []string{"grpc", "direct", "native"}
	for why, test := range map[string]struct {
		tls       bool
		protocols bool
		plaintext []string
		encrypted []string // what is let in with TLS
		plain     []string // and without
	}{
		"plaintext":                    {protocols: true, plain: all},
		"plaintext, without native":    {plain: []string{"grpc", "direct"}},
		"TLS":                          {tls: true, protocols: true, encrypted: all},
		"TLS, without native":          {tls: true, encrypted: []string{"grpc", "direct"}},
		"TLS, but native in plaintext": {tls: true, protocols: true, plaintext: []string{"native"}, encrypted: all, plain: []string{"native"}},
		"TLS and plaintext":            {tls: true, protocols: true, plaintext: all, encrypted: all, plain: all},
		"TLS, gRPC in plaintext, too":  {tls: true, plaintext: []string{"grpc"}, encrypted: []string{"grpc", "direct"}, plain: []string{"grpc"}},
	} {
		for how, bytes := range map[string]int{"at once": 0, "a byte at a time": 200} {
			t.Run(why+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ca := certtest.New(t)
					port := server.Port{Plaintext: test.plaintext}
					if test.tls {
						port.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, "port")}}
					}
					if test.protocols {
						port.Protocols = []tunnel.Protocol{nativePush()}
					}
					p := listenAt(t, port, nil)
					dial := func(ctx context.Context) (net.Conn, error) {
						conn, err := p.dial(ctx)
						return &dribble{conn, bytes}, err
					}
					cfg := &tls.Config{RootCAs: ca.Pool(), ServerName: "port"}
					for _, protocol := range all {
						for encrypted, allowed := range map[*tls.Config][]string{cfg: test.encrypted, nil: test.plain} {
							if !slices.Contains(allowed, protocol) {
								wantShut(t, p.Server, dial, protocol, encrypted)
								continue
							}
							r := join(t, protocol, dial, encrypted)
							wantReached(t, p.Server, protocol)
							r.cancel()
							<-r.stopped
							synctest.Wait()
						}
					}
				})
			})
		}
	}
}

// wantShut checks that a connection which begins as a protocol does is closed.
func wantShut(t *testing.T, push *server.Server, dial dialFunc, protocol string, cfg *tls.Config) {
	t.Helper()
	if cfg != nil {
		dial = encrypt(dial, cfg, map[string][]string{"grpc": {"h2"}, "direct": {tunnel.ALPN}}[protocol]...)
	}
	began := time.Now()
	conn, err := dial(t.Context())
	if err == nil {
		_, err = conn.Write(opening(t, protocol))
	}
	if err == nil {
		defer conn.Close()
		_, err = io.Copy(io.Discard, conn)
	}
	if took := time.Since(began); took >= 10*time.Second {
		t.Errorf("%s, TLS %v: it took %v (%v), want a connection that is closed when it is known", protocol, cfg != nil, took, err)
	}
	synctest.Wait()
	if names := namesOf(push); len(names) > 0 {
		t.Errorf("%s, TLS %v: got clients %q, want none", protocol, cfg != nil, names)
	}
}

// opening is what a client of a protocol sends first.
func opening(t *testing.T, protocol string) []byte {
	t.Helper()
	switch protocol {
	case "grpc":
		return []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	case "direct":
		return directOpening(t, "clientname", "c1")
	}
	return native.BRPC.Append(nil, native.Head{Type: native.TypeRegister, Body: 100})
}

// Who does not say what it is, is cut off in time and leaves nothing behind. An honest
// client is not kept from anything by many of them.
func TestUndecidedConnections(t *testing.T) {
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 100)
	for why, test := range map[string]struct {
		words string
		slow  bool // it goes on, a byte a second
		at    time.Duration
	}{
		"silent":                {"", false, 10 * time.Second},
		"garbage":               {strings.Repeat("\x00\xff", 100), false, 0},
		"HTTP/1":                {"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: one that is long enough\r\n\r\n", false, 0},
		"half a TLS record":     {hello[:3], false, 10 * time.Second},
		"half a TLS hello":      {hello, false, 10 * time.Second},
		"TLS, and then garbage": {hello[:5] + strings.Repeat("\x00", 0x200), false, 0},
		"half a preface":        {"PRI * HT", false, 10 * time.Second},
		"a byte at a time":      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true, 10 * time.Second},
		"half a native head":    {string(native.BRPC.Append(nil, native.Head{})[:30]), false, 10 * time.Second},
		"half a native frame":   {string(native.BRPC.Append(nil, native.Head{Type: native.TypeRegister, Body: 10})), false, time.Minute}, // native.WithFrameTimeout
		"half a direct preface": {tunnel.DirectPreface[:3], false, 10 * time.Second},
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const many = 20
				ca := certtest.New(t)
				p := listenAt(t, server.Port{
					TLS: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, "port")}}, Protocols: []tunnel.Protocol{nativePush()},
					Plaintext: []string{"grpc", "direct", "native"},
				}, nil)
				honest := p.run(t, "honest")
				<-honest.connected
				synctest.Wait()
				goroutines, began := runtime.NumGoroutine(), time.Now()
				ended := make(chan time.Duration, many)
				for range many {
					go func() {
						conn, err := p.dial(t.Context())
						if err == nil {
							if test.slow {
								go func() {
									for i := range len(test.words) {
										conn.Write([]byte(test.words[i : i+1])) //nolint:errcheck // it is cut off
										time.Sleep(time.Second)                 // of the bubble
									}
								}()
							} else {
								conn.Write([]byte(test.words)) //nolint:errcheck // it may be cut off
							}
							io.Copy(io.Discard, conn) //nolint:errcheck // its end is what counts
							conn.Close()
						}
						ended <- time.Since(began)
					}()
				}
				synctest.Wait()
				second := join(t, "native", p.dial, nil)
				wantReached(t, p.Server, "native")
				wantAnswer(t, p.Client("honest"), "honest")
				if took := time.Since(began); took > time.Second {
					t.Errorf("the honest clients took %v, want no time to speak of", took)
				}
				second.cancel()
				<-second.stopped
				for range many {
					if got := <-ended; got < test.at || got > test.at+time.Second {
						t.Fatalf("got an end after %v, want %v", got, test.at)
					}
				}
				time.Sleep(time.Hour) // of the bubble
				synctest.Wait()
				if got := runtime.NumGoroutine(); got > goroutines+spareGoroutines {
					t.Errorf("got %d goroutines, want the %d before", got, goroutines)
				}
			})
		})
	}
}

// spareGoroutines are those that may be about to end.
const spareGoroutines = 20

// Those that are undecided count for the limit of connections; those that are gRPC's
// do not any more.
func TestUndecidedConnectionsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := make(chan error, 10)
		p := listenAt(t, server.Port{}, nil, server.WithMaxConnections(2), server.WithHooks(server.Hooks{
			Refused: func(_ server.Candidate, why error) { refused <- why },
		}))
		for i := range 5 {
			r := run(t, p.connection(t), "c", answers("c"))
			<-r.connected
			if i > 0 {
				continue
			}
			for range 3 { // the third is one too many
				if _, err := p.dial(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-refused; !strings.Contains(err.Error(), `"connections"`) {
				t.Errorf("got %v, want the limit", err)
			}
			time.Sleep(11 * time.Second) // of the bubble: then they are cut off
		}
		if len(refused) > 0 {
			t.Errorf("got %v as well", <-refused)
		}
	})
}

// resetLate is a listener whose connections have their deadlines reset when the test
// says so: grpc-go does that when it has let go of them.
type resetLate struct {
	net.Listener
	reset chan struct{}
}

type resetLateConn struct {
	net.Conn
	reset chan struct{}
}

func (l resetLate) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		conn = resetLateConn{conn, l.reset}
	}
	return conn, err
}

func (c resetLateConn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		<-c.reset
	}
	return c.Conn.SetDeadline(t)
}

// The deadlines of a protocol count even if grpc-go takes its time to let go of the
// connection.
func TestDeadlinesAfterTheHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reset := make(chan struct{})
		p := listenAt(t, server.Port{Protocols: []tunnel.Protocol{native.Protocol(native.WithFrameTimeout(3 * time.Second))}},
			func(l net.Listener) net.Listener { return resetLate{l, reset} })
		began := time.Now()
		conn := p.speak(t, opening(t, "native"))
		time.Sleep(500 * time.Millisecond) // of the bubble
		close(reset)
		if answer, err := io.ReadAll(conn); len(answer) > 0 || err != nil {
			t.Errorf("got %q, %v, want a connection that is closed without a word", answer, err)
		}
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("it was closed after %v, want 3 s", took)
		}
	})
}

// A port says at the start what is wrong with it.
func TestAPortThatIsWrong(t *testing.T) {
	named := func(names ...string) (ps []tunnel.Protocol) {
		for _, name := range names {
			ps = append(ps, native.Protocol(native.WithName(name)))
		}
		return ps
	}
	for want, at := range map[string]server.Port{
		`"nativ", which is none`:               {TLS: &tls.Config{}, Protocols: named("native"), Plaintext: []string{"nativ"}},
		`a second protocol of the name "a"`:    {Protocols: named("a", "b", "a")},
		`a second protocol of the name "grpc"`: {Protocols: named("grpc")},
		`a second protocol of the name "tls"`:  {Protocols: named("tls")},
		`Port.TLS is not set`:                  {Protocols: named("native"), Plaintext: []string{"native"}},
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if got, ok := recover().(string); !ok || !strings.Contains(got, want) {
					t.Errorf("got %v, want %s", got, want)
				}
			}()
			server.New().OnePort(at)
		})
	}
}

// The direct transport is for some networks only, if the port says so: with TLS, too.
func TestAllowProtocolOfTheDirectTransport(t *testing.T) {
	for why, test := range map[string]struct {
		encrypted, shared bool
		network           string
		in                bool
	}{
		"allowed":                     {false, false, "192.0.2.0/24", true},
		"not allowed":                 {false, false, "203.0.113.0/24", false},
		"allowed, TLS":                {true, false, "192.0.2.0/24", true},
		"not allowed, TLS":            {true, false, "203.0.113.0/24", false},
		"allowed, TLS and native":     {true, true, "192.0.2.0/24", true},
		"not allowed, TLS and native": {true, true, "203.0.113.0/24", false},
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refused := make(chan error, 100)
				push := server.New(server.WithHooks(server.Hooks{Refused: func(_ server.Candidate, why error) { refused <- why }}))
				at := server.Port{Protocols: []tunnel.Protocol{push.AllowProtocol(push.DirectProtocol(), netip.MustParsePrefix(test.network))}}
				ca := certtest.New(t)
				var cfg *tls.Config
				if test.encrypted {
					at.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, "port")}}
					cfg = &tls.Config{RootCAs: ca.Pool(), ServerName: "port"}
				}
				if test.shared {
					at.Protocols = append(at.Protocols, nativePush())
				}
				p := (&port{Server: push}).listen(t, at, nil)
				r := join(t, "direct", p.dial, cfg)
				if test.in {
					<-r.connected
					wantReached(t, push, "direct")
					return
				}
				if err := <-refused; status.Code(err) != codes.PermissionDenied {
					t.Errorf("got %v, want that the address is not allowed", err)
				}
				if names := namesOf(push); len(names) > 0 {
					t.Errorf("got clients %q, want none", names)
				}
			})
		})
	}
}

// What may not come without TLS is told to the hooks: somebody has to set something
// right.
func TestPlaintextIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := certtest.New(t)
		refused := make(chan server.Candidate, 100)
		p := listenAt(t, server.Port{
			TLS:       &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, "port")}},
			Protocols: []tunnel.Protocol{nativePush()}, Plaintext: []string{"native"},
		}, nil, server.WithHooks(server.Hooks{Refused: func(c server.Candidate, _ error) { refused <- c }}))
		conn := p.speak(t, opening(t, "grpc"))
		if c := <-refused; c.Protocol != "grpc" || c.Peer.Addr.String() != conn.LocalAddr().String() {
			t.Errorf("refused %+v, want gRPC from %v", c, conn.LocalAddr())
		}
		conn.Close()
	})
}
