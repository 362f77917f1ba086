package server

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Reason is why a session has ended, in a word that metrics and logs can count.
type Reason string

// The reasons.
const (
	// ReasonLeft means that the client has left in order.
	ReasonLeft Reason = "left"
	// ReasonLost means that the connection has broken.
	ReasonLost Reason = "lost"
	// ReasonSilent means that nothing was heard of the client for two heartbeats.
	ReasonSilent Reason = "silent"
	// ReasonReplaced means that a newer session has taken over.
	ReasonReplaced Reason = "replaced"
	// ReasonClosed means that the server's program has closed the session or the
	// server.
	ReasonClosed Reason = "closed"
	// ReasonProtocol means that the client has broken the protocol.
	ReasonProtocol Reason = "protocol_error"
	// ReasonLimit means that the client has hit a limit.
	ReasonLimit Reason = "limit"
)

// ReasonOf returns why a session has ended that has this error.
func ReasonOf(err error) Reason {
	_, limit := tunnel.LimitOf(err)
	switch {
	case err == nil:
		return ReasonLeft
	case errors.Is(err, tunnel.ErrSilent):
		return ReasonSilent
	case errors.Is(err, tunnel.ErrProtocol):
		return ReasonProtocol
	case errors.Is(err, errClosed), errors.Is(err, ErrServerClosed):
		return ReasonClosed
	case limit:
		return ReasonLimit
	case status.Code(err) == codes.Aborted:
		return ReasonReplaced
	}
	return ReasonLost
}

// errClosed is the cause of ends that the program has asked for.
var errClosed = errors.New("pushtunnel: the session was closed")

// because gives a status a cause.
func because(cause, err error) error {
	return tunnel.NewError(status.Convert(err), tunnel.OutcomeAnswered, cause)
}
