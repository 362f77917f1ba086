package main

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/interceptors"
)

// entries is a logger that keeps what matters of the ends of calls.
type entries struct{ got []string }

func (e *entries) Log(_ context.Context, _ logging.Level, msg string, fields ...any) {
	values := map[any]any{}
	for i := 0; i+1 < len(fields); i += 2 {
		values[fields[i]] = fields[i+1]
	}
	e.got = append(e.got, fmt.Sprintf("%s /%v/%v %v", msg, values["grpc.service"], values["grpc.method"], values["grpc.code"]))
}

var onFinish = logging.WithLogOnEvents(logging.FinishCall)

func failing(_ context.Context, text string) error {
	if text == "fail" {
		return status.Error(codes.NotFound, "there is no such thing")
	}
	return nil
}

// pushTwo makes one push that fails and one that does not.
func pushTwo(t *testing.T, w way, cc grpc.ClientConnInterface) {
	t.Helper()
	wantCode(t, w.push(within(t), cc, "fail"), w.code(codes.NotFound))
	wantCode(t, w.push(within(t), cc, ""), codes.OK)
	synctest.Wait()
}

func (e *entries) want(t *testing.T, w way, failed codes.Code) {
	t.Helper()
	want := []string{"finished call " + w.method + " " + failed.String(), "finished call " + w.method + " OK"}
	if !slices.Equal(e.got, want) {
		t.Errorf("got %q, want %q", e.got, want)
	}
	e.got = nil
}

func TestLoggingCalling(t *testing.T) {
	var log entries
	calling := interceptors.Caller{Unary: logging.UnaryClientInterceptor(&log, onFinish), Stream: logging.StreamClientInterceptor(&log, onFinish)}
	each(t, calling, interceptors.Handler{}, failing, func(t *testing.T, w way, cc grpc.ClientConnInterface) {
		pushTwo(t, w, cc)
		log.want(t, w, w.code(codes.NotFound))
	})
}

func TestLoggingServing(t *testing.T) {
	var log entries
	serving := interceptors.Handler{Unary: logging.UnaryServerInterceptor(&log, onFinish), Stream: logging.StreamServerInterceptor(&log, onFinish)}
	each(t, interceptors.Caller{}, serving, failing, func(t *testing.T, w way, cc grpc.ClientConnInterface) {
		pushTwo(t, w, cc)
		log.want(t, w, codes.NotFound)
	})
}
