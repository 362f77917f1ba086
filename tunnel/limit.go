package tunnel

import (
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Limit is the name of a limit, as LimitOf tells it: one of the constants below,
// or one that a program has made up. As an error it is the cause of the errors of
// what has hit the limit.
type Limit string

// The limits. Each has an option, at the end whose memory or time it guards.
const (
	// LimitSessions is how many sessions a server has, those that are in their
	// handshake included.
	LimitSessions Limit = "sessions"
	// LimitSessionsPerName is how many sessions a client name has.
	LimitSessionsPerName Limit = "sessions_per_name"
	// LimitSessionsPerSubject is how many sessions an identity has.
	LimitSessionsPerSubject Limit = "sessions_per_subject"
	// LimitConnections is how many connections a server has that are not of a
	// grpc.Server.
	LimitConnections Limit = "connections"
	// LimitConnectRate is how many sessions come in a second.
	LimitConnectRate Limit = "connect_rate"
	// LimitConnectRatePerSubject is how many sessions of an identity come in a second.
	LimitConnectRatePerSubject Limit = "connect_rate_per_subject"
	// LimitCalls is how many calls an end serves at a time on a session.
	LimitCalls Limit = "calls"
	// LimitOutgoingCalls is how many calls an end makes at a time on a session.
	LimitOutgoingCalls Limit = "outgoing_calls"
	// LimitCallRate is how many calls a session sees in a second.
	LimitCallRate Limit = "call_rate"
	// LimitBuffered is how many bytes a session holds that nobody has taken.
	LimitBuffered Limit = "buffered"
	// LimitQueued is how many bytes a session has that wait to be sent.
	LimitQueued Limit = "queued"
	// LimitMemory is how many bytes all sessions of a Budget hold.
	LimitMemory Limit = "memory"
	// LimitMessage is how large a message is.
	LimitMessage Limit = "message_size"
	// LimitMetadata is how much metadata a call or a client has.
	LimitMetadata Limit = "metadata_size"
)

// Error returns "limit NAME".
func (l Limit) Error() string { return "limit " + string(l) }

// limitDomain and limitReason are what tells a limit's ErrorInfo from others.
const (
	limitDomain = "pushtunnel"
	limitReason = "LIMIT"
	limitKey    = "limit"
)

// Status returns the status of what has hit the limit: RESOURCE_EXHAUSTED with
// the limit's name in an ErrorInfo, so that the other end can tell it, too.
func (l Limit) Status(format string, args ...any) *status.Status {
	st := status.Newf(codes.ResourceExhausted, format, args...)
	info := &errdetails.ErrorInfo{Reason: limitReason, Domain: limitDomain, Metadata: map[string]string{limitKey: string(l)}}
	if named, err := st.WithDetails(info); err == nil {
		return named
	}
	return st
}

// exceeded returns the error of a call that has hit a limit of this end. It is a
// plain status but for its cause.
func (l Limit) exceeded(outcome Outcome, format string, args ...any) *Error {
	return NewError(status.New(codes.ResourceExhausted, fmt.Sprintf(format, args...)), outcome, l)
}

// LimitOf returns the name of the limit that err is about, of this end or the
// other one. It reports false if err is about none.
func LimitOf(err error) (Limit, bool) {
	var l Limit
	if errors.As(err, &l) {
		return l, true
	}
	st, ok := status.FromError(err)
	if !ok || st.Code() != codes.ResourceExhausted {
		return "", false
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == limitDomain && info.GetReason() == limitReason {
			return Limit(info.GetMetadata()[limitKey]), true
		}
	}
	return "", false
}
