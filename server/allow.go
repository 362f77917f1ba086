package server

import (
	"net"
	"net/netip"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// AllowAddresses returns a listener of l's connections that come from these
// networks. It closes all others, and tells the log and Hooks.Refused. It is for
// Serve, above all for native clients, whose protocol has no credentials, and for a
// grpc.Server, too. Behind a proxy the address is the proxy's. Give it the listener
// below TLS, so that strangers cost no handshake. A peer that has no IP address is
// a stranger.
func (s *Server) AllowAddresses(l net.Listener, networks ...netip.Prefix) net.Listener {
	networks = slices.Clone(networks)
	for i, n := range networks {
		if n.Addr().Is4In6() && n.Bits() >= 96 {
			networks[i] = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
		}
	}
	return &allowing{l, s, networks}
}

type allowing struct {
	net.Listener
	server   *Server
	networks []netip.Prefix
}

// Accept returns the next connection that is allowed.
func (l *allowing) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || l.allows(conn.RemoteAddr()) {
			return conn, err
		}
		c := connCandidate("", conn)
		conn.Close()
		l.server.reject(c, status.Errorf(codes.PermissionDenied, "pushtunnel: the address %v is not allowed", c.Peer.Addr)) //nolint:errcheck // there is nobody to be told
	}
}

func (l *allowing) allows(a net.Addr) bool {
	from, err := netip.ParseAddrPort(a.String())
	return err == nil && slices.ContainsFunc(l.networks, func(n netip.Prefix) bool { return n.Contains(from.Addr().Unmap().WithZone("")) })
}
