package cli_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The exit codes are documented: scripts use them.
func TestExitCodes(t *testing.T) {
	_, server := serve(t)
	connect(t, server, "c1")
	connect(t, server, "missing", "--fail=NOT_FOUND:no such thing")
	connect(t, server, "full", "--fail=RESOURCE_EXHAUSTED")
	connect(t, server, "closed", "--fail=PERMISSION_DENIED")
	connect(t, server, "slow", "--delay=1h")
	for name, c := range map[string]struct {
		args []string
		code int
		err  string // has
	}{
		"it worked":         {[]string{"call", "c1", notify}, 0, ""},
		"a wrong flag":      {[]string{"call", "c1", notify, "--frob"}, 2, "unknown flag --frob (see pushtunnel call --help)"},
		"wrong JSON":        {[]string{"call", "c1", notify, "-d", `{"text"`}, 2, ""},
		"an unknown field":  {[]string{"call", "c1", notify, "-d", `{"tekst": "x"}`}, 2, "tekst"},
		"a wrong header":    {[]string{"call", "c1", notify, "-H", "nothing"}, 2, "key: value"},
		"no such file":      {[]string{"call", "c1", notify, "-d", "@/does/not/exist"}, 2, "/does/not/exist"},
		"no such service":   {[]string{"call", "c1", "a.B/C"}, 2, `"c1" has no service "a.B"; see pushtunnel call c1`},
		"no such method":    {[]string{"call", "c1", "examples.notifier.v1.Notifier/Nope"}, 2, "Nope"},
		"nobody":            {[]string{"call", "c2", notify}, 3, `pushtunnel: UNAVAILABLE: client "c2" is not connected (outcome: not sent)`},
		"another namespace": {[]string{"call", "c1", notify, "-n", "acme"}, 3, "UNAVAILABLE"},
		"no server":         {[]string{"call", "c1", notify, "--server=127.0.0.1:1"}, 3, "UNAVAILABLE"},
		"too late":          {[]string{"call", "slow", notify, "--timeout=300ms"}, 4, "DEADLINE_EXCEEDED"},
		"nobody comes":      {[]string{"call", "c2", notify, "--timeout=50ms", "--wait"}, 4, "DEADLINE_EXCEEDED"},
		"not allowed":       {[]string{"call", "closed", notify}, 5, "PERMISSION_DENIED"},
		"a limit":           {[]string{"call", "full", notify}, 6, "RESOURCE_EXHAUSTED"},
		"another answer":    {[]string{"call", "missing", notify}, 7, "pushtunnel: NOT_FOUND: no such thing"},
		"a wrong selector":  {[]string{"list", "-l", "a in b"}, 7, "INVALID_ARGUMENT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := c.args
			if !strings.Contains(strings.Join(args, " "), "--server") {
				args = with(server, args...)
			}
			got := run(t, args...)
			if got.code != c.code || !strings.Contains(got.err, c.err) {
				t.Errorf("got %+v, want exit code %d, and %q on the standard error", got, c.code, c.err)
			}
			if c.code != 0 && got.out != "" {
				t.Errorf("got %q on the standard output, want nothing there", got.out)
			}
		})
	}
}

func TestCall(t *testing.T) {
	_, server := serve(t)
	connect(t, server, "c1", "-l", "zone=eu")
	connect(t, server, "küche")
	listed := "examples.notifier.v1.Notifier/Install\nexamples.notifier.v1.Notifier/Notify\n" +
		"grpc.health.v1.Health/Check\ngrpc.health.v1.Health/List\ngrpc.health.v1.Health/Watch\n"
	request := file(t, "request.json", `{"text": "from a file"}`)
	absolute, err := filepath.Abs("../../../../examples/quickstart/notifierpb/notifier.proto")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		in   string
		want string
	}{
		"what there is":         {args: []string{"c1"}, want: listed},
		"a stream":              {args: []string{"c1", install, "-d", `{"version": "2"}`}, want: "{\"percent\":25}\n{\"percent\":50}\n{\"percent\":75}\n{\"percent\":100}\n"},
		"with a dot":            {args: []string{"c1", strings.Replace(notify, "/", ".", 1)}, want: "{\"display\":\"c1\"}\n"},
		"a file":                {args: []string{"c1", notify, "-d", "@" + request}, want: "{\"display\":\"c1\"}\n"},
		"the standard input":    {args: []string{"c1", notify, "-d", "@"}, in: `{"text": "x"}`, want: "{\"display\":\"c1\"}\n"},
		"a name beyond ASCII":   {args: []string{"küche", notify}, want: "{\"display\":\"küche\"}\n"},
		"by labels":             {args: []string{"c1", notify, "-l", "zone in (eu, us)"}, want: "{\"display\":\"c1\"}\n"},
		"with a proto":          {args: []string{"c1", notify, "--proto=../../../../examples/quickstart/notifierpb/notifier.proto"}, want: "{\"display\":\"c1\"}\n"},
		"with an import path":   {args: []string{"c1", notify, "--proto=notifier.proto", "-I../../../../examples/quickstart/notifierpb"}, want: "{\"display\":\"c1\"}\n"},
		"an absolute path":      {args: []string{"c1", notify, "--proto=" + absolute}, want: "{\"display\":\"c1\"}\n"},
		"health of the client":  {args: []string{"c1", "grpc.health.v1.Health/Check"}, want: "{\"status\":\"SERVING\"}\n"},
		"fields that are empty": {args: []string{"c1", notify, "--defaults"}, want: "{\"display\":\"c1\"}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := pipe(t, c.in, with(server, append([]string{"call"}, c.args...)...)...)
			if diff := cmp.Diff(result{out: c.want}, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// A call that waits is made when the client comes.
func TestCallWaits(t *testing.T) {
	_, server := serve(t)
	call := start(t, nil, with(server, "call", "late", notify, "--wait")...)
	connect(t, server, "late")
	call.line(t, call.out, `{"display":"late"}`)
	<-call.done
	if call.code != 0 {
		t.Errorf("got exit code %d and %q, want 0", call.code, call.err)
	}
}

// Metadata goes to the client, but for what the gateway reads and holds back; details of
// an error and its outcome come back.
func TestCallMetadata(t *testing.T) {
	_, server := serve(t)
	device := connect(t, server, "c1")
	got := run(t, with(server, "call", "c1", notify, "-H", "tenant: acme", "-H", "authorization: secret", "-v")...)
	if got.code != 0 {
		t.Fatalf("got %+v, want an answer", got)
	}
	line := device.line(t, device.out, `"metadata"`)
	if !strings.Contains(line, `"tenant":["acme"]`) || strings.Contains(line, "secret") || strings.Contains(line, "pushtunnel-client") {
		t.Errorf("got %s, want the tenant, and neither the secret nor the gateway's key", line)
	}
}
