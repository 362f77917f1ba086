package server

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Answer is what a session has answered to a gathering.
type Answer[T any] struct {
	Session *Session
	Value   T
}

// Failure is why a session has not answered a gathering.
type Failure struct {
	Session *Session
	Err     error
}

// ShortError is the error of a gathering that has too few answers.
type ShortError struct {
	// Want is how many answers were wanted, Got how many there are.
	Want, Got int
	// Asked is how many sessions there were when the gathering began.
	Asked int
	// Failed are the calls that failed, in the order in which they did. Those that
	// were given up when the outcome was clear are not among them.
	Failed []Failure
}

// Error tells the numbers and the first failure.
func (e *ShortError) Error() string {
	text := fmt.Sprintf("pushtunnel: %d of %d sessions have answered, %d were wanted", e.Got, e.Asked, e.Want)
	if len(e.Failed) > 0 {
		text += ": " + e.first().Message()
	}
	return text
}

// first returns the status of the first failure.
func (e *ShortError) first() *status.Status {
	st, ok := status.FromError(e.Failed[0].Err)
	if !ok {
		return status.FromContextError(e.Failed[0].Err)
	}
	return st
}

// GRPCStatus returns a status with the code of the first failure, and UNAVAILABLE if
// there is none: there were too few sessions.
func (e *ShortError) GRPCStatus() *status.Status {
	code := codes.Unavailable
	if len(e.Failed) > 0 {
		code = e.first().Code()
	}
	return status.New(code, e.Error())
}

// Unwrap returns the errors of the calls that failed.
func (e *ShortError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f.Err
	}
	return errs
}

// First calls the sessions and returns the first answer that is no error. The
// other calls are cancelled, and have returned when First does. With Parallel(1)
// it calls one after the other. If none answers the error is a *ShortError.
func First[T any](ctx context.Context, sessions iter.Seq[*Session], call func(context.Context, *Session) (T, error), opts ...FanoutOption) (Answer[T], error) {
	answers, err := FirstN(ctx, 1, sessions, call, opts...)
	if err != nil {
		return Answer[T]{}, err
	}
	return answers[0], nil
}

// FirstN is First for the first n answers, in the order in which they came. It ends
// as soon as it has them, or so many have failed that it can't. Then the error is a
// *ShortError, and the answers that there are are returned with it.
func FirstN[T any](ctx context.Context, n int, sessions iter.Seq[*Session], call func(context.Context, *Session) (T, error), opts ...FanoutOption) ([]Answer[T], error) {
	all := slices.Collect(sessions)
	return gather(ctx, all, n, false, call, opts)
}

// Quorum is FirstN for more than half of the sessions that there are when it
// begins, one at least.
func Quorum[T any](ctx context.Context, sessions iter.Seq[*Session], call func(context.Context, *Session) (T, error), opts ...FanoutOption) ([]Answer[T], error) {
	all := slices.Collect(sessions)
	return gather(ctx, all, len(all)/2+1, false, call, opts)
}

// All calls all sessions that there are when it begins, and returns when each has
// answered or failed. If any has failed the error is a *ShortError, and the answers
// of the others are returned with it. No sessions are no error.
func All[T any](ctx context.Context, sessions iter.Seq[*Session], call func(context.Context, *Session) (T, error), opts ...FanoutOption) ([]Answer[T], error) {
	all := slices.Collect(sessions)
	return gather(ctx, all, len(all), true, call, opts)
}

// gather calls sessions until want have answered, or too few can. patient waits for
// the rest in that case.
func gather[T any](ctx context.Context, sessions []*Session, want int, patient bool, call func(context.Context, *Session) (T, error), opts []FanoutOption) ([]Answer[T], error) {
	answers := make([]Answer[T], 0, min(max(want, 0), len(sessions)))
	if want <= 0 {
		return answers, nil
	}
	short := &ShortError{Want: want, Asked: len(sessions)}
	if len(sessions) < want {
		return answers, short
	}
	for s, r := range Fanout(ctx, slices.Values(sessions), call, opts...) {
		if r.Err != nil {
			short.Failed = append(short.Failed, Failure{s, r.Err})
		} else {
			answers = append(answers, Answer[T]{s, r.Value})
		}
		if len(answers) == want {
			return answers, nil
		}
		if !patient && len(sessions)-len(short.Failed) < want {
			break
		}
	}
	short.Got = len(answers)
	return answers, short
}
