package production

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
)

// Connections from elsewhere do not reach the server.
func TestAllowAddresses(t *testing.T) {
	refused := make(chan refusal, 10)
	push := server.New(server.WithHooks(server.Hooks{Refused: func(c server.Candidate, reason error) { refused <- refusal{c, reason} }}))
	l := listen(t)
	ended := make(chan error, 1)
	go func() {
		ended <- push.Serve(push.AllowAddresses(l, netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.2/32")), native.Protocol())
	}()
	defer func() {
		push.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	from := func(host string) net.Conn {
		t.Helper()
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}).DialContext(within(t), "tcp", l.Addr().String())
		if err != nil {
			t.Skipf("this machine has no address %s: %v", host, err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	from("127.0.0.1")
	r := await(t, refused, "refusal")
	if !strings.HasPrefix(r.Peer.Addr.String(), "127.0.0.1:") {
		t.Errorf("refused %v", r.Peer.Addr)
	}
	wantStatus(t, "a stranger", r.reason, codes.PermissionDenied, "pushtunnel: the address "+r.Peer.Addr.String()+" is not allowed")

	// One that is allowed is served: it is closed for what it sends, not before.
	conn := from("127.0.0.2")
	conn.Write(nativeHead(native.TypePush, 0)) //nolint:errcheck // ReadAll tells
	if b, err := io.ReadAll(conn); len(b) != 0 || err != nil && !isReset(err) {
		t.Errorf("got %d bytes, %v", len(b), err)
	}
	if len(refused) > 0 {
		t.Errorf("an address that is allowed is refused: %v", (<-refused).reason)
	}
}

// Whoever listens for all the world without asking who comes is told so, also if
// they have asked for no log.
func TestWarningOfAnOpenPort(t *testing.T) {
	for _, test := range []struct {
		what string
		opts []server.Option
		addr string
		want bool
	}{
		{"open", nil, "192.0.2.1:443", true},
		{"for this machine only", nil, "127.0.0.1:443", false},
		{"for this machine only, IPv6", nil, "[::1]:443", false},
		{"with an identity function", []server.Option{server.WithIdentity(server.CertificateIdentity)}, "192.0.2.1:443", false},
		{"on purpose", []server.Option{server.WithIdentity(server.TrustClaims)}, "192.0.2.1:443", false},
	} {
		for _, own := range []bool{true, false} {
			t.Run(test.what, func(t *testing.T) {
				var log bytes.Buffer
				logger := slog.New(slog.NewTextHandler(&log, nil))
				opts := test.opts
				if own {
					opts = append(opts, server.WithLogger(logger))
				} else {
					before := slog.Default()
					slog.SetDefault(logger)
					defer slog.SetDefault(before)
				}
				push := server.New(opts...)
				defer push.Close()
				l := &deaf{addr: test.addr}
				push.Serve(l, native.Protocol()) //nolint:errcheck // it ends at once
				if got := strings.Contains(log.String(), "level=WARN"); got != test.want {
					t.Errorf("warned: %v, want %v; the log:\n%s", got, test.want, &log)
				}
				if test.want && (!strings.Contains(log.String(), "server.WithIdentity") || !strings.Contains(log.String(), "addr=192.0.2.1:443")) {
					t.Errorf("the log does not tell where and what to do:\n%s", &log)
				}
			})
		}
	}
}

// deaf is a listener that hears nobody.
type deaf struct{ addr string }

func (d *deaf) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (d *deaf) Close() error              { return nil }
func (d *deaf) Addr() net.Addr            { return d }
func (d *deaf) Network() string           { return "tcp" }
func (d *deaf) String() string            { return d.addr }
