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
