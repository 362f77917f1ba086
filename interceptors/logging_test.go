package interceptors_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// log is a logger and what it has written. Lines must not come at the same time.
type log struct {
	*slog.Logger
	buf bytes.Buffer
}

func newLog() *log {
	l := &log{}
	l.Logger = slog.New(slog.NewJSONHandler(&l.buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return l
}

type line = map[string]any

// take returns the lines since it was called last, without their times. Sessions
// are told apart by what names says.
func (l *log) take(t *testing.T, names map[string]string) []line {
	t.Helper()
	var all []line
	for d := json.NewDecoder(&l.buf); ; {
		got := line{}
		err := d.Decode(&got)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		delete(got, "time")
		if id, ok := got["session"].(string); ok {
			got["session"] = names[id]
		}
		all = append(all, got)
	}
}

func TestLogging(t *testing.T) {
	inBubble(t, func(t *testing.T, way string) {
		calling, serving := newLog(), newLog()
		w := newWorld(t, callers(interceptors.Logging(calling.Logger)))
		c := w.connect(t, way, "c1", &service{receive: func(ctx context.Context, r *pb.ClientReceiveRequest) (*pb.PushResult, error) {
			time.Sleep(time.Second)
			logging.AddFields(ctx, logging.Fields{"extra", r.GetExtra()})
			if way == "grpc" && r.GetExtra() == "fail" {
				return nil, status.Error(codes.Internal, "out of paper")
			}
			return &pb.PushResult{}, nil
		}}, handlers(interceptors.HandlerLogging(serving.Logger)))
		names := map[string]string{}
		for s := range w.Sessions() {
			names[s.ID()] = "the session"
		}
		push := func(text string) {
			ctx := logging.InjectFields(t.Context(), logging.Fields{"request", 7})
			_, _ = receive(ctx, w.Client("c1"), text)
			synctest.Wait()
		}
		push("hello")
		second := float64(time.Second)
		wantSame(t, "the caller's log", calling.take(t, names), []line{{
			"level": "INFO", "msg": "push ended", "client": "c1", "session": "the session", "method": receiveMethod,
			"code": "OK", "outcome": "answered", "duration": second, "request": 7.,
		}})
		served := line{
			"level": "INFO", "msg": "push served", "client": "c1", "session": "the session", "method": receiveMethod,
			"code": "OK", "duration": second, "extra": "hello",
		}
		if way == "native" {
			delete(served, "session") // a native client does not know its id
		}
		wantSame(t, "the handler's log", serving.take(t, names), []line{served})
		if way == "grpc" {
			push("fail")
			wantSame(t, "the caller's log", calling.take(t, names), []line{{
				"level": "ERROR", "msg": "push ended", "client": "c1", "session": "the session", "method": receiveMethod,
				"code": "Internal", "reason": "out of paper", "outcome": "answered", "duration": second, "request": 7.,
			}})
			wantSame(t, "the handler's log", serving.take(t, names), []line{{
				"level": "ERROR", "msg": "push served", "client": "c1", "session": "the session", "method": receiveMethod,
				"code": "Internal", "reason": "out of paper", "duration": second, "extra": "fail",
			}})
		}
		c.stop()
		synctest.Wait()
		_, _ = receive(t.Context(), w.Namespace("n").Client("c1"), "")
		wantSame(t, "the caller's log", calling.take(t, names), []line{{
			"level": "WARN", "msg": "push ended", "client": "c1", "namespace": "n", "method": receiveMethod,
			"code": "Unavailable", "reason": `pushtunnel: client "c1" of namespace "n" is not connected`, "outcome": "not sent", "duration": 0.,
		}})
	})
}

// A stream has one line, when it has ended, however that came.
func TestLoggingOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calling, serving := newLog(), newLog()
		w := newWorld(t, callers(interceptors.Logging(calling.Logger), interceptors.RetryNotSent(interceptors.Retry{MaxAttempts: 2})))
		stub := testgrpc.NewTestServiceClient(w.Client("c1"))
		_, err := stub.FullDuplexCall(t.Context())
		wantError(t, err, codes.Unavailable, tunnel.OutcomeNotSent)
		if got := calling.take(t, nil); len(got) != 1 || got[0]["code"] != "Unavailable" || got[0]["outcome"] != "not sent" {
			t.Errorf("got %v, want one line: Unavailable, not sent", got)
		}
		c := w.connect(t, "grpc", "c1", &service{duplex: func(s testgrpc.TestService_FullDuplexCallServer) error {
			for {
				if _, err := s.Recv(); err != nil {
					if err == io.EOF {
						return nil
					}
					return err
				}
			}
		}}, handlers(interceptors.HandlerLogging(serving.Logger)))
		names := map[string]string{}
		for s := range w.Sessions() {
			names[s.ID()] = "the session"
		}
		want := func(level, code, outcome string, reason any) {
			t.Helper()
			synctest.Wait()
			l := line{
				"level": level, "msg": "push ended", "client": "c1", "session": "the session", "method": duplexMethod,
				"code": code, "outcome": outcome, "duration": float64(time.Second),
			}
			if reason != nil {
				l["reason"] = reason
			}
			wantSame(t, "the caller's log", calling.take(t, names), []line{l})
		}
		begin := func(ctx context.Context) testgrpc.TestService_FullDuplexCallClient {
			t.Helper()
			s, err := stub.FullDuplexCall(ctx)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			wantSame(t, "the caller's log before the end", calling.take(t, names), []line(nil))
			return s
		}

		// Its reader reads to the end, and beyond.
		s := begin(t.Context())
		_ = s.CloseSend()
		for range 3 {
			_, _ = s.Recv()
		}
		want("INFO", "OK", "answered", nil)
		wantSame(t, "the handler's log", serving.take(t, names), []line{{
			"level": "INFO", "msg": "push served", "client": "c1", "session": "the session", "method": duplexMethod, "code": "OK", "duration": float64(time.Second),
		}})

		// Nobody reads it.
		ctx, cancel := context.WithCancel(t.Context())
		begin(ctx)
		cancel()
		want("INFO", "Canceled", "unknown", "context canceled")

		// Its session is lost.
		s = begin(t.Context())
		c.stop()
		_, err = s.Recv()
		want("WARN", "Unavailable", "unknown", status.Convert(err).Message())
	})
}

// An error that something of package io has caused is an error.
func TestLoggingOfEOF(t *testing.T) {
	eof := tunnel.NewError(status.New(codes.Unavailable, "the connection is lost"), tunnel.OutcomeUnknown, io.EOF)
	for _, kind := range kinds {
		synctest.Test(t, func(t *testing.T) {
			calling := newLog()
			w := newWorld(t, callers(interceptors.Logging(calling.Logger), answer(func(context.Context, string) error { return eof })))
			if err := kind.begin(t.Context(), w.Client("c1")); err != eof {
				t.Fatalf("got %v, want the error as it was", err)
			}
			got := calling.take(t, nil)
			if len(got) != 1 || got[0]["code"] != "Unavailable" || got[0]["outcome"] != "unknown" {
				t.Errorf("got %v, want one line: Unavailable, unknown", got)
			}
		})
	}
}

// The middleware's options work, but for that of the events.
func TestLoggingOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calling := newLog()
		w := newWorld(t, callers(interceptors.Logging(calling.Logger,
			logging.WithLevels(func(codes.Code) logging.Level { return logging.LevelDebug }),
			logging.WithLogOnEvents(logging.StartCall),
			logging.WithFieldsFromContext(func(context.Context) logging.Fields { return logging.Fields{"mine", "yes"} }))))
		w.connect(t, "grpc", "c1", &service{}, nil)
		if _, err := receive(t.Context(), w.Client("c1"), ""); err != nil {
			t.Fatal(err)
		}
		got := calling.take(t, nil)
		if len(got) != 1 || got[0]["level"] != "DEBUG" || got[0]["mine"] != "yes" || got[0]["client"] != "c1" {
			t.Errorf("got %v, want one line at level DEBUG with both client and mine", got)
		}
	})
}
