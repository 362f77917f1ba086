package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pushtunnel/pushtunnel/internal/netio"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// How many bytes of a connection are looked at to tell what it speaks: at first, and
// at most.
const (
	firstPrefix = 64
	maxPrefix   = 1 << 10
)

// The names that are taken.
const (
	tlsName    = "tls"
	grpcName   = "grpc"
	directName = "direct"
)

// matcher knows connections by their first bytes: see tunnel.Protocol.
type matcher interface {
	Name() string
	Match(prefix []byte) tunnel.Match
}

// recognise waits for the first bytes of a connection, and returns who knows them,
// and a connection that still begins with them. It blocks until the peer has sent
// enough, or the connection is closed: see expire.
func recognise[M matcher](conn net.Conn, ms []M) (who M, same net.Conn, err error) {
	var none M
	first := make([]byte, firstPrefix)
	n, conn, err := netio.First(conn, first)
	if err != nil {
		return none, conn, fmt.Errorf("no word: %w", err)
	}
	who, m := match(ms, first[:n])
	if m != tunnel.MatchMore {
		return who, conn, known(m, first[:n])
	}
	prefix := make([]byte, 0, maxPrefix)
	for {
		n, err := conn.Read(prefix[len(prefix):cap(prefix)])
		prefix = prefix[:len(prefix)+n]
		if n == 0 && err == nil {
			continue
		}
		if n == 0 {
			return none, conn, fmt.Errorf("nothing to tell the protocol by after %d bytes: %w", len(prefix), err)
		}
		who, m := match(ms, prefix)
		if m == tunnel.MatchMore && len(prefix) == cap(prefix) {
			m = tunnel.MatchNo
		}
		if m != tunnel.MatchMore {
			return who, &netio.Prefixed{Conn: conn, Prefix: prefix}, known(m, prefix)
		}
	}
}

// match returns the first that knows the prefix, once none before it can.
func match[M matcher](ms []M, prefix []byte) (who M, m tunnel.Match) {
	for _, who := range ms {
		if m := who.Match(prefix); m != tunnel.MatchNo {
			return who, m
		}
	}
	return who, tunnel.MatchNo
}

// known is the error of a prefix that nobody knows.
func known(m tunnel.Match, prefix []byte) error {
	if m == tunnel.MatchYes {
		return nil
	}
	if (tlsMatcher{}).Match(prefix) == tunnel.MatchYes {
		return errors.New("a TLS handshake, where there is no TLS")
	}
	return fmt.Errorf("its first %d bytes are of no known protocol", len(prefix))
}

// tlsMatcher knows TLS by its first record: a handshake of version 3.x (RFC 8446,
// section 5.1).
type tlsMatcher struct{}

func (tlsMatcher) Name() string { return tlsName }

func (tlsMatcher) Match(prefix []byte) tunnel.Match { return begins(prefix, "\x16\x03") }

// grpcMatcher knows gRPC by the preface of HTTP/2 (RFC 9113, section 3.4).
type grpcMatcher struct{}

func (grpcMatcher) Name() string { return grpcName }

func (grpcMatcher) Match(prefix []byte) tunnel.Match {
	return begins(prefix, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
}

// begins reports whether what begins with the prefix begins with the word.
func begins(prefix []byte, word string) tunnel.Match {
	n := min(len(prefix), len(word))
	switch {
	case string(prefix[:n]) != word[:n]:
		return tunnel.MatchNo
	case n < len(word):
		return tunnel.MatchMore
	}
	return tunnel.MatchYes
}

// expire closes a connection when the time is up, or when ctx ends. stop ends that,
// and returns the error of what has been done meanwhile: err, or why the connection
// was closed. Deadlines of the connection are left to their owner.
func expire(ctx context.Context, conn net.Conn, patience time.Duration) (stop func(err error) error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	still := context.AfterFunc(ctx, func() { conn.Close() })
	return func(err error) error {
		defer cancel()
		switch {
		case still():
			return err
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return fmt.Errorf("it has not said within %v what it is", patience)
		}
		return errors.New("the server stops, and it has not said yet what it is")
	}
}
