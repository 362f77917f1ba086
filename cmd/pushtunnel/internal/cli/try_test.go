package cli_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

const (
	notify  = "examples.notifier.v1.Notifier/Notify"
	install = "examples.notifier.v1.Notifier/Install"
)

// What somebody does who has just heard of it: three commands, and no file.
func TestThreeCommands(t *testing.T) {
	_, server := serve(t)
	device := connect(t, server, "c1")
	got := run(t, with(server, "call", "c1", notify, "-d", `{"text": "Dinner is ready"}`)...)
	if want := (result{out: `{"display":"c1"}` + "\n"}); got != want {
		t.Errorf("call: got %+v, want %+v", got, want)
	}
	line := device.line(t, device.out, "Dinner is ready")
	if want := `"method":"` + notify + `"`; !strings.Contains(line, want) || !strings.Contains(line, `"message":{"text":"Dinner is ready"}`) {
		t.Errorf("connect: got %s, want the message, and %s", line, want)
	}
	device.line(t, device.out, `"code":"OK"`)
}

// variable is what is another each time.
var variable = regexp.MustCompile(`("id":|"since":|"address":|"inFlight":|"roundTrip":)"[^"]*"`)

func TestListAndWatch(t *testing.T) {
	_, server := serve(t)
	if got, want := run(t, with(server, "list")...), (result{}); got != want {
		t.Errorf("got %+v, want no lines", got)
	}
	watch := start(t, nil, with(server, "watch", "-l", "zone=eu")...)
	watch.line(t, watch.out, `"end":true`)
	connect(t, server, "us", "-l", "zone=us")
	eu := connect(t, server, "eu", "-l", "zone=eu", "--direct", "--namespace=acme")

	const session = `{"name":"eu","namespace":"acme","id":"","labels":{"zone":"eu"},"claimedLabels":{"zone":"eu"},"protocol":"direct","address":"","since":""}`
	fixed := func(s string) string { return variable.ReplaceAllString(s, `$1""`) }
	for _, args := range [][]string{{"-l", "zone=eu"}, {"eu"}, {"--namespace=acme"}, {"--protocol=direct"}, {"--json", "-l", "zone notin (us)"}} {
		got := run(t, with(server, append([]string{"list"}, args...)...)...)
		got.out = fixed(got.out)
		if want := (result{out: session + "\n"}); got != want {
			t.Errorf("list %q:\ngot  %+v\nwant %+v", args, got, want)
		}
	}
	if got := strings.Count(run(t, with(server, "list")...).out, "\n"); got != 2 {
		t.Errorf("got %d sessions, want 2", got)
	}

	watch.line(t, watch.out, `"came"`)
	if code := eu.end(t); code != 0 {
		t.Errorf("connect: got exit code %d, want 0: it has left in order", code)
	}
	watch.line(t, watch.out, `"left"`)
	if code := watch.end(t); code != 0 {
		t.Errorf("watch: got exit code %d, want 0: it was interrupted, as it is meant to be", code)
	}
	got := fixed(watch.out.String())
	want := `{"snapshot":{"begin":true,"end":true}}` + "\n" +
		`{"revision":"2","came":` + session + "}\n" +
		`{"revision":"3","left":` + session + "}\n"
	if got != want {
		t.Errorf("watch:\ngot  %s\nwant %s", got, want)
	}
}

func TestVersion(t *testing.T) {
	if got := run(t, "version"); got.code != 0 || !strings.HasPrefix(got.out, "pushtunnel ") {
		t.Errorf("got %+v, want a version", got)
	}
	if got := run(t, "version", "--json"); got.code != 0 || !strings.HasPrefix(got.out, `{"version":"`) {
		t.Errorf("got %+v, want a version as JSON", got)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"serve", "--help"}, {"connect", "--help"}, {"call", "--help"}, {"list", "--help"}, {"watch", "--help"}, {"bench", "--help"}, {"completion", "--help"}} {
		got := run(t, args...)
		if got.code != 0 || !strings.HasPrefix(got.out, "Usage: pushtunnel ") || got.err != "" {
			t.Errorf("%q: got %+v, want help on the standard output", args, got)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"", "serve connect call list watch bench completion version"},
		{"c", "connect call completion"},
		{"completion ", "bash zsh fish"},
		{"completion z", "zsh"},
		{"serve --log-", "--log-format --log-level"},
		{"serve --log-format ", "text json"},
		{"serve --log-format t", "text"},
		{"list --protocol d", "direct"},
		{"call c1 --proto", "--proto --protoset"},
		{"call -H x:y --sess", "--session"},
		{"call c1 ", ""},
		{"serve --config ", ""},
	} {
		got := run(t, append([]string{"complete", "--"}, strings.Split(c.line, " ")...)...)
		if words := strings.Join(strings.Fields(got.out), " "); words != c.want || got.code != 0 {
			t.Errorf("%q: got %q and %+v, want %q", c.line, words, got, c.want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := run(t, "completion", shell)
		if script.code != 0 || !strings.Contains(script.out, "pushtunnel complete --") {
			t.Errorf("%s: got %+v, want a script", shell, script)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue // the others stand for it
		}
		check := exec.CommandContext(t.Context(), path, "-n")
		check.Stdin = strings.NewReader(script.out)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s does not read its script: %v: %s", shell, err, out)
		}
	}
}
