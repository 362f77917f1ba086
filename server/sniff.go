package server

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/pushtunnel/pushtunnel/internal/netio"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// maxPrefix is how many bytes of a connection are read to tell its protocol.
const maxPrefix = 1 << 10

// sniff reads the first bytes of a connection, for as long as it may take, and
// returns its protocol and a connection that begins with those bytes.
func sniff(ctx context.Context, conn net.Conn, protocols []tunnel.Protocol, patience time.Duration) (tunnel.Protocol, net.Conn, error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, conn, err
	}
	prefix := make([]byte, 0, maxPrefix)
	for {
		n, err := conn.Read(prefix[len(prefix):cap(prefix)])
		prefix = prefix[:len(prefix)+n]
		if err != nil {
			return nil, conn, fmt.Errorf("no protocol after %d bytes: %w", len(prefix), err)
		}
		if n == 0 {
			continue
		}
		p, more := match(protocols, prefix)
		switch {
		case p != nil:
			return p, &netio.Prefixed{Conn: conn, Prefix: prefix}, conn.SetReadDeadline(time.Time{})
		case !more || len(prefix) == maxPrefix:
			return nil, conn, fmt.Errorf("the first %d bytes are of no known protocol", len(prefix))
		}
	}
}

// match returns the first protocol that knows the prefix, once none before it
// can; more says that it takes more bytes.
func match(protocols []tunnel.Protocol, prefix []byte) (p tunnel.Protocol, more bool) {
	for _, p := range protocols {
		switch p.Match(prefix) {
		case tunnel.MatchYes:
			return p, false
		case tunnel.MatchMore:
			return nil, true
		case tunnel.MatchNo:
		}
	}
	return nil, false
}
