package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The exit codes. docs/CLI.md has them, and scripts use them: they do not change.
const (
	exitOK          = 0
	exitFailed      = 1 // the command itself has failed
	exitUsage       = 2 // flags, files and requests that are wrong
	exitUnavailable = 3 // UNAVAILABLE: there is nobody to call
	exitLate        = 4 // DEADLINE_EXCEEDED, CANCELLED
	exitForbidden   = 5 // UNAUTHENTICATED, PERMISSION_DENIED
	exitLimit       = 6 // RESOURCE_EXHAUSTED
	exitAnswer      = 7 // all other codes of gRPC
)

// usageError is an error of whoever has called the command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// callError is the end of a gRPC call.
type callError struct {
	status  *status.Status
	outcome string // what the gateway says of how far it came; may be empty
}

func (e *callError) Error() string {
	text := codeName(e.status.Code()) + ": " + printable(strings.TrimPrefix(e.status.Message(), "pushtunnel: "))
	if e.outcome != "" && e.outcome != "answered" {
		text += " (outcome: " + e.outcome + ")"
	}
	return text
}

func (e *callError) GRPCStatus() *status.Status { return e.status }

// asCall makes a callError of an error that is a gRPC status.
func asCall(err error) error {
	if err == nil {
		return nil
	}
	if st, ok := status.FromError(err); ok {
		return &callError{status: st}
	}
	return err
}

// exitCode returns the exit code for an error.
func exitCode(err error) int {
	var u usageError
	var c *callError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &u):
		return exitUsage
	case errors.As(err, &c):
		return exitCodeOf(c.status.Code())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return exitLate
	}
	return exitFailed
}

func exitCodeOf(c codes.Code) int {
	switch c {
	case codes.OK:
		return exitOK
	case codes.Unavailable:
		return exitUnavailable
	case codes.DeadlineExceeded, codes.Canceled:
		return exitLate
	case codes.Unauthenticated, codes.PermissionDenied:
		return exitForbidden
	case codes.ResourceExhausted:
		return exitLimit
	default:
		return exitAnswer
	}
}

// codeName is the name that a code has in gRPC's documents.
func codeName(c codes.Code) string {
	if name, ok := code.Code_name[int32(c)]; ok { //nolint:gosec // codes are small
		return name
	}
	return fmt.Sprintf("CODE_%d", c)
}

// report prints an error, each of its lines once with the program's name.
func report(w io.Writer, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(w, "pushtunnel:", strings.TrimPrefix(line, "pushtunnel: "))
	}
}
