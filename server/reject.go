package server

import (
	"context"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/peer"

	"github.com/pushtunnel/pushtunnel/internal/logattr"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Refusals are logged at this rate: an attacker shall not fill the disk.
const (
	refusalsPerSecond = 10
	refusalBurst      = 100
)

func newRefusalLimiter() *rate.Limiter { return rate.NewLimiter(refusalsPerSecond, refusalBurst) }

// reject tells the log and the hooks that a client is not let in, and returns why.
func (s *Server) reject(c Candidate, reason error) error {
	if s.refusals.Allow() {
		attrs := logattr.Client(tunnel.Peer{Name: c.Name, Namespace: c.Namespace, Protocol: c.Protocol, Addr: c.Peer.Addr})
		s.opts.logger.LogAttrs(context.Background(), levelInfo, "client refused", append(attrs, logattr.Reason(reason)...)...)
	}
	for _, h := range s.opts.hooks {
		if h.Refused != nil {
			h.Refused(c, reason)
		}
	}
	return reason
}

// candidate returns the candidate that a session is of, or would have been.
func candidate(s *Session, p *peer.Peer) Candidate {
	c := Candidate{Protocol: s.peer.Protocol, Peer: p}
	if s.peer.Claim != nil {
		c.Claim = *s.peer.Claim
	}
	return c
}
