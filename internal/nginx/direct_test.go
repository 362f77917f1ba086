//go:build unix

package nginx

import (
	"crypto/tls"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
)

// nginx speaks HTTP/2 alone. Clients that would like the direct transport get a gRPC
// stream through it, at the first attempt.
func TestDirectBehindNginx(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{more: func(s *server.Server) grpc.ServerOption { return s.Direct(nil) }})
	for name, test := range map[string]struct {
		cc   *grpc.ClientConn
		addr string
		tls  *tls.Config
	}{
		"plain": {w.dial(t), w.plain, nil},
		"TLS":   {w.dialTLS(t), w.secure, w.keys.tls()},
	} {
		retried := make(chan error, 100)
		p := w.join(t, test.cc, name, client.WithDirect(test.addr, test.tls),
			client.WithHooks(client.Hooks{Retry: func(err error, _ time.Duration) { retried <- err }}))
		s := receive(t, w.came, "the session at the server")
		if got := s.Peer().Protocol; got != "grpc" {
			t.Errorf("%s: got a session on %q, want it on a gRPC stream", name, got)
		}
		w.ask(t, name)
		none(t, retried, "attempts that failed")
		none(t, p.went, "ends of the session")
	}
}
