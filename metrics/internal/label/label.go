// Package label makes the values of labels. There is a bounded number of them,
// whatever peers and callers say.
package label

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Other is the value of all that have none of their own.
const Other = "other"

// Code is a status code as an index: gRPC's own, or one for all others.
type Code int

// Codes is how many Codes there are.
const Codes = otherCode + 1

const otherCode = int(codes.Unauthenticated) + 1

var codeNames = func() (names [Codes]string) {
	for c := range otherCode {
		names[c] = codes.Code(c).String() //nolint:gosec // of 17
	}
	names[otherCode] = Other
	return names
}()

// String returns the code's name, as package codes has it.
func (c Code) String() string { return codeNames[c] }

// CodeOf returns the code of an error: the one that gRPC sends for it.
func CodeOf(err error) Code {
	if err == nil {
		return Code(codes.OK)
	}
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}
	return Code(min(st.Code(), codes.Code(otherCode)))
}

// Outcomes is how many outcomes there are.
const Outcomes = len(outcomeNames)

var outcomeNames = [...]string{
	tunnel.OutcomeAnswered: "answered",
	tunnel.OutcomeNotSent:  "not_sent",
	tunnel.OutcomeRefused:  "refused",
	tunnel.OutcomeUnknown:  "unknown",
}

// Outcome returns the name of an outcome.
func Outcome(o tunnel.Outcome) string { return outcomeNames[o] }

// Limit is a limit as an index: one of package tunnel's, or one for all others.
type Limit int

// Limits is how many Limits there are.
const Limits = len(limitNames)

var limitNames = [...]string{
	string(tunnel.LimitSessions), string(tunnel.LimitSessionsPerName), string(tunnel.LimitSessionsPerSubject),
	string(tunnel.LimitConnections), string(tunnel.LimitConnectRate), string(tunnel.LimitConnectRatePerSubject),
	string(tunnel.LimitCalls), string(tunnel.LimitOutgoingCalls), string(tunnel.LimitCallRate),
	string(tunnel.LimitBuffered), string(tunnel.LimitQueued), string(tunnel.LimitMemory),
	string(tunnel.LimitMessage), string(tunnel.LimitMetadata),
	Other,
}

// String returns the limit's name.
func (l Limit) String() string { return limitNames[l] }

// LimitOf returns the limit that err is about, and whether this end has set it. It
// reports false if err is about none.
func LimitOf(err error) (l Limit, own, ok bool) {
	name, ok := tunnel.LimitOf(err)
	if !ok {
		return 0, false, false
	}
	for l < Limit(Limits-1) && limitNames[l] != string(name) {
		l++
	}
	// What the other end says came in a status, and has no cause here.
	return l, errors.As(err, new(tunnel.Limit)), true
}

// longest is the longest value in bytes.
const longest = 255

// Valid returns s, or Other if that cannot be a value.
func Valid(s string) string {
	if len(s) > longest || !utf8.ValidString(s) {
		return Other
	}
	return s
}
