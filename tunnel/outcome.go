package tunnel

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Outcome says how far a failed call came.
type Outcome uint8

const (
	// OutcomeAnswered means that the peer's handler ran and this is its answer, or
	// that the call failed for a reason of this end's that is not about the peer.
	OutcomeAnswered Outcome = iota
	// OutcomeNotSent means that no byte of the call has left this end. It is safe to
	// try it elsewhere.
	OutcomeNotSent
	// OutcomeRefused means that the peer got the call and ended it before its handler
	// ran. It is safe to try it elsewhere.
	OutcomeRefused
	// OutcomeUnknown means that the call was sent, and nobody knows whether its
	// handler ran.
	OutcomeUnknown
)

func (o Outcome) String() string {
	return [...]string{"answered", "not sent", "refused", "unknown"}[o]
}

// Error is a call's status with its outcome. Functions of package status see the
// status.
type Error struct {
	status  *status.Status
	outcome Outcome
	cause   error
}

// NewError returns an error with the status and outcome. cause may be nil.
func NewError(st *status.Status, outcome Outcome, cause error) *Error {
	return &Error{status: st, outcome: outcome, cause: cause}
}

// Error returns the text that a plain gRPC error of this status has.
func (e *Error) Error() string { return e.status.String() }

// GRPCStatus returns the status.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Outcome returns how far the call came.
func (e *Error) Outcome() Outcome { return e.outcome }

// Unwrap returns the cause, which may be nil.
func (e *Error) Unwrap() error { return e.cause }

// OutcomeOf returns the outcome of the call that returned err: OutcomeAnswered
// if err is nil or does not say.
func OutcomeOf(err error) Outcome {
	var e *Error
	if errors.As(err, &e) {
		return e.outcome
	}
	return OutcomeAnswered
}

// Permanent reports whether a session that was refused, or has ended, with this code
// is of no use to try again: the client stops. See PushTunnel.Connect in
// proto/pushtunnel.proto.
func Permanent(code codes.Code) bool {
	switch code {
	case codes.InvalidArgument, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.Unimplemented, codes.Aborted:
		return true
	default:
		return false
	}
}

// NotSent reports whether err is of a call of which no byte has left this
// end, so that it is safe to try it elsewhere.
func NotSent(err error) bool { return OutcomeOf(err) == OutcomeNotSent }
