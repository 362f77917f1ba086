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
	pass := func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		return next(srv, s)
	}
	for what, test := range map[string]struct {
		opts []Option
		ip   net.IP
		want int
	}{
		"open":                  {nil, net.IPv4(192, 0, 2, 1), 1},
		"for this machine only": {nil, net.IPv4(127, 0, 0, 1), 0},
		"with an identity":      {[]Option{WithIdentity(CertificateIdentity)}, net.IPv4(192, 0, 2, 1), 0},
		"with an interceptor":   {[]Option{WithConnectInterceptors(pass)}, net.IPv4(192, 0, 2, 1), 0},
	} {
		t.Run(what, func(t *testing.T) {
			var log bytes.Buffer
			s := New(append(test.opts, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))...)
			for range 3 {
				ours, theirs := net.Pipe()
				theirs.Close()
				s.gate.connect()
				s.dispatch(s.DirectProtocol(), ours, directConn{at{ours, net.TCPAddr{IP: test.ip, Port: 443}}, nil})
			}
			s.Close()
			if got := strings.Count(log.String(), "level=WARN"); got != test.want {
				t.Errorf("warned %d times, want %d; the log:\n%s", got, test.want, &log)
			}
		})
	}
}
