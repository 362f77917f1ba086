package tunnel

import (
	"context"
	"net"
)

// Peer is the other end of a session.
type Peer struct {
	// Name is the client's name: at the server that of the peer, at the client
	// its own, by which the server called it.
	Name string
	// Namespace is the client's namespace; the default one is empty.
	Namespace string
	// Labels are the client's: at the server those that it has granted, at the
	// client its own. They must not be changed.
	Labels map[string]string
	// Subject is who the client has proved to be, as the server's identity hook
	// says; empty if it says nothing.
	Subject string
	// Claim is what the client has said of itself. It is nil at the client, and
	// before the server has asked its identity hook.
	Claim *Claim
	// Session is the id of the session.
	Session string
	// Protocol is what carries the session: "grpc" for a gRPC stream.
	Protocol string
	// Addr is the network address of the other end, as far as it is known: that
	// of the nearest proxy if there is one.
	Addr net.Addr
}

type peerKey struct{}

// PeerFromContext returns the peer that a handler's call came from. It reports
// false outside handlers of calls through a tunnel.
func PeerFromContext(ctx context.Context) (Peer, bool) {
	p, ok := ctx.Value(peerKey{}).(*Peer)
	if !ok {
		return Peer{}, false
	}
	return *p, true
}
