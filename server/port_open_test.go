package server

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
)

// at is a connection that has come to this address.
type at struct {
	net.Conn
	addr net.TCPAddr
}

func (c at) LocalAddr() net.Addr  { return &c.addr }
func (c at) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1} }

// Whoever takes direct clients from other machines without asking who comes is told
// so, once.
func TestWarningOfAnOpenPort(t *testing.T) {
	elsewhere, here := net.IPv4(192, 0, 2, 1), net.IPv4(127, 0, 0, 1)
	pass := func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		return next(srv, s)
	}
	for what, test := range map[string]struct {
		opts []Option
		ips  []net.IP
		want int
	}{
		"open":                       {nil, []net.IP{elsewhere, elsewhere, elsewhere}, 1},
		"for this machine only":      {nil, []net.IP{here, here}, 0},
		"first used by this machine": {nil, []net.IP{here, elsewhere}, 1},
		"with an identity":           {[]Option{WithIdentity(CertificateIdentity)}, []net.IP{elsewhere}, 0},
		"with an interceptor":        {[]Option{WithConnectInterceptors(pass)}, []net.IP{elsewhere}, 0},
	} {
		t.Run(what, func(t *testing.T) {
			var log bytes.Buffer
			s := New(append(test.opts, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))...)
			for _, ip := range test.ips {
				ours, theirs := net.Pipe()
				theirs.Close()
				s.gate.connect()
				s.dispatch(s.DirectProtocol(), ours, directConn{at{ours, net.TCPAddr{IP: ip, Port: 443}}, nil})
			}
			s.Close()
			if got := strings.Count(log.String(), "level=WARN"); got != test.want {
				t.Errorf("warned %d times, want %d; the log:\n%s", got, test.want, &log)
			}
		})
	}
}
