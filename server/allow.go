package server

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// AllowAddresses returns a listener of l's connections that come from these
// networks. It closes all others, and tells the log and Hooks.Refused. It is for
// Serve, above all for native clients, whose protocol has no credentials, and for a
// grpc.Server, too. Behind a proxy the address is the proxy's. Give it the listener
// below TLS, so that strangers cost no handshake. A peer that has no IP address is
// a stranger.
func (s *Server) AllowAddresses(l net.Listener, networks ...netip.Prefix) net.Listener {
	return &allowing{l, s, newNetworks(networks)}
}

// AllowProtocol returns a protocol for those connections of p that come from these
// networks: it does with the others what AllowAddresses does. It is for a port that
// other protocols share, where it takes TLS and the first bytes to tell a stranger.
// OnePort has the direct transport anyhow, unless DirectProtocol is among its Protocols
// in this form.
func (s *Server) AllowProtocol(p tunnel.Protocol, networks ...netip.Prefix) tunnel.Protocol {
	return &allowingProtocol{p, s, newNetworks(networks)}
}

// networks are those whose connections are allowed.
type networks []netip.Prefix

func newNetworks(ns []netip.Prefix) networks {
	ns = slices.Clone(ns)
	for i, n := range ns {
		if n.Addr().Is4In6() && n.Bits() >= 96 {
			ns[i] = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
		}
	}
	return ns
}

func (ns networks) allow(a net.Addr) bool {
	from, err := netip.ParseAddrPort(a.String())
	return err == nil && slices.ContainsFunc(ns, func(n netip.Prefix) bool { return n.Contains(from.Addr().Unmap().WithZone("")) })
}

// notAllowed closes a connection, and says why.
func (s *Server) notAllowed(protocol string, conn net.Conn) error {
	c := connCandidate(protocol, conn)
	conn.Close()
	return s.reject(c, status.Errorf(codes.PermissionDenied, "pushtunnel: the address %v is not allowed", c.Peer.Addr))
}

type allowingProtocol struct {
	tunnel.Protocol
	server   *Server
	networks networks
}

// Serve serves a connection that is allowed.
func (p *allowingProtocol) Serve(ctx context.Context, conn net.Conn, a tunnel.Acceptor) error {
	if !p.networks.allow(conn.RemoteAddr()) {
		return p.server.notAllowed(p.Name(), conn)
	}
	return p.Protocol.Serve(ctx, conn, a)
}

type allowing struct {
	net.Listener
	server   *Server
	networks networks
}

// Accept returns the next connection that is allowed.
func (l *allowing) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || l.networks.allow(conn.RemoteAddr()) {
			return conn, err
		}
		l.server.notAllowed("", conn) //nolint:errcheck // there is nobody to be told
	}
}
