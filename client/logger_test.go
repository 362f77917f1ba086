package client_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
)

func TestWhatIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		conns := newConnections()
		c := run(t, play(t, func(n int, s stream) error {
			if n == 0 {
				return status.Error(codes.Unavailable, "away")
			}
			return serve(n, s)
		}), conns.option(), client.WithLogger(slog.New(slog.NewJSONHandler(&out, nil))))
		<-conns.came
		if err := c.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []map[string]any{
			{"level": "WARN", "msg": "client waits to connect again", "client": "c1", "code": "Unavailable", "reason": "away"},
			{"level": "INFO", "msg": "client connected", "client": "c1", "session": "session-1", "protocol": "grpc", "addr": "bufconn"},
			{"level": "INFO", "msg": "client disconnected", "client": "c1", "session": "session-1", "protocol": "grpc", "addr": "bufconn", "code": "OK"},
		}
		dec := json.NewDecoder(&out)
		for i, want := range want {
			var got map[string]any
			if err := dec.Decode(&got); err != nil {
				t.Fatal(err)
			}
			if i == 0 && got["after"] == nil {
				t.Errorf("line %d: got %v, want how long it waits", i, got)
			}
			delete(got, "time")
			delete(got, "after")
			if len(got) != len(want) {
				t.Errorf("line %d: got %v, want %v", i, got, want)
			}
			for k, v := range want {
				if got[k] != v {
					t.Errorf("line %d: got %v, want %v", i, got, want)
				}
			}
		}
		if dec.More() {
			t.Errorf("got more, %s, want %d lines", &out, len(want))
		}
	})
}
