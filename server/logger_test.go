package server_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

func TestWhatIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		push := tunneltest.NewServer(t, server.WithLogger(slog.New(slog.NewJSONHandler(&out, nil))))
		c1 := run(t, push.Dial(t), "c1", nil)
		id1 := (<-c1.connected).Session
		synctest.Wait()
		c1.cancel()
		<-c1.stopped
		synctest.Wait()
		c2 := run(t, push.Dial(t), "c2", nil)
		id2 := (<-c2.connected).Session
		synctest.Wait()
		if err := push.Close(); err != nil {
			t.Fatal(err)
		}

		var got []map[string]any
		for dec := json.NewDecoder(&out); dec.More(); {
			var line map[string]any
			if err := dec.Decode(&line); err != nil {
				t.Fatal(err)
			}
			got = append(got, line)
		}
		want := []struct {
			msg, client, session string
			keys                 []string
			code, reason         any
		}{
			{"client connected", "c1", id1, []string{"addr", "client", "level", "msg", "protocol", "session", "time"}, nil, nil},
			{"client disconnected", "c1", id1, []string{"addr", "client", "code", "level", "msg", "protocol", "session", "time"}, "OK", nil},
			{"client connected", "c2", id2, []string{"addr", "client", "level", "msg", "protocol", "session", "time"}, nil, nil},
			{"client disconnected", "c2", id2, []string{"addr", "client", "code", "level", "msg", "protocol", "reason", "session", "time"}, "Unavailable", "pushtunnel: the server is closed"},
		}
		if len(got) != len(want) {
			t.Fatalf("got %d lines, want %d: %v", len(got), len(want), got)
		}
		for i, want := range want {
			line := got[i]
			var keys []string
			for k := range line {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			wantSame(t, "keys", keys, want.keys)
			if line["level"] != "INFO" || line["msg"] != want.msg || line["client"] != want.client || line["session"] != want.session ||
				line["protocol"] != "grpc" || line["code"] != want.code || line["reason"] != want.reason {
				t.Errorf("line %d: got %v, want %+v", i, line, want)
			}
		}
	})
}
