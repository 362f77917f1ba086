package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestBench(t *testing.T) {
	_, server := serve(t)
	for _, args := range [][]string{{}, {"--direct", "--payload=0", "--namespace=acme"}} {
		got := run(t, with(server, append([]string{"bench", "-c", "3", "-p", "20", "-d", "200ms"}, args...)...)...)
		var report struct {
			Clients, Callers int
			Calls            int64
			Rate             float64 `json:"calls_per_second"`
			Failed           map[string]int64
			P50              int64 `json:"p50_us"`
			Max              int64 `json:"max_us"`
			Latency          []struct{ Count int64 }
		}
		if err := json.Unmarshal([]byte(got.out), &report); err != nil {
			t.Fatalf("%v in %+v", err, got)
		}
		sum := int64(0)
		for _, b := range report.Latency {
			sum += b.Count
		}
		if got.code != 0 || report.Clients != 3 || report.Callers != 20 || report.Calls == 0 || report.Rate == 0 || len(report.Failed) != 0 ||
			report.P50 == 0 || report.P50 > report.Max || sum != report.Calls {
			t.Errorf("got %+v, want calls", got)
		}
	}
	if got := run(t, with(server, "list")...).out; got != "" {
		t.Errorf("got %s, want all clients to have left", got)
	}
}

func TestBenchMistakes(t *testing.T) {
	_, server := serve(t, "--tokens="+file(t, "tokens.yaml", tokenFile))
	for name, c := range map[string]struct {
		args []string
		code int
		err  string
	}{
		"no clients":         {[]string{"--clients=0"}, 2, "--clients"},
		"no server":          {[]string{"--server=127.0.0.1:1"}, 3, "UNAVAILABLE"},
		"no token of client": {[]string{"--token=backend-backend-backend"}, 5, "UNAUTHENTICATED"},
		"no token of caller": {[]string{"--name=kitchen", "--namespace=acme", "--client-token=kitchen-kitchen-kitchen"}, 5, "UNAUTHENTICATED"},
	} {
		if got := run(t, append(with(server, "bench", "-d", "50ms"), c.args...)...); got.code != c.code || !strings.Contains(got.err, c.err) {
			t.Errorf("%s: got %+v, want exit code %d and %q", name, got, c.code, c.err)
		}
	}
}
