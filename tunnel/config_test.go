package tunnel

import (
	"net"
	"testing"

	"google.golang.org/grpc/peer"
)

// A peer always has an address: interceptors of gRPC programs count on that.
func TestAPeerHasAnAddress(t *testing.T) {
	known := &net.TCPAddr{Port: 7}
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "unknown"},
		{Config{Peer: &peer.Peer{}}, "unknown"},
		{Config{Remote: Peer{Addr: known}}, ":7"},
		{Config{Peer: &peer.Peer{Addr: known}}, ":7"},
	} {
		if got := test.cfg.WithDefaults().Peer.Addr; got == nil || got.String() != test.want {
			t.Errorf("%+v: got the address %v, want %s", test.cfg, got, test.want)
		}
	}
}
