package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/schema"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
)

// interopSet writes the services of gRPC's interop tests as a descriptor set.
func interopSet(t *testing.T) string {
	t.Helper()
	s, err := schema.FromFile(grpc_testing.File_grpc_testing_test_proto)
	if err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(s.Set())
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "interop.pb", string(data))
}

const service = "grpc.testing.TestService/"

func TestConnectAnswers(t *testing.T) {
	_, server := serve(t)
	set := "--protoset=" + interopSet(t)
	request := `{"responseType": "COMPRESSABLE", "payload": {"body": "aGk="}}`
	for name, c := range map[string]struct {
		connect      []string
		method, data string
		want         string
		code         int
		err          string
	}{
		"an empty message": {
			method: "UnaryCall", data: request, want: "{}\n",
		},
		"a template": {
			connect: []string{`--answer={"username": {{json .Request.payload.body}}, "hostname": {{json .Name}}, "serverId": "{{.Call}}"}`},
			method:  "UnaryCall", data: request, want: `{"username":"aGk=","serverId":"1","hostname":"device"}` + "\n",
		},
		"one of several templates": {
			connect: []string{`--answer=EmptyCall={}`, `--answer=TestService/UnaryCall={"username": "this"}`, `--answer={"username": "other"}`},
			method:  "UnaryCall", want: `{"username":"this"}` + "\n",
		},
		"metadata in a template": {
			connect: []string{`--answer={"username": {{json (index .Metadata.who 0)}}}`},
			method:  "UnaryCall", want: `{"username":"me"}` + "\n",
		},
		"a stream of answers": {
			connect: []string{`--answer={{range .Request.responseParameters}}{"payload": {"body": "eA==", "type": {{if eq .size 2.0}}2{{else}}0{{end}}}} {{end}}`},
			method:  "StreamingOutputCall", data: `{"responseParameters": [{"size": 1}, {"size": 2}]}`,
			want: `{"payload":{"body":"eA=="}}` + "\n" + `{"payload":{"type":2,"body":"eA=="}}` + "\n",
		},
		"a stream of requests": {
			connect: []string{`--answer={"aggregatedPayloadSize": {{len .Requests}}}`},
			method:  "StreamingInputCall", data: `{} {} {}`, want: `{"aggregatedPayloadSize":3}` + "\n",
		},
		"streams both ways": {
			connect: []string{`--answer={"payload": {"body": {{json .Request.payload.body}}}}`},
			method:  "FullDuplexCall", data: `{"payload": {"body": "YQ=="}} {"payload": {"body": "Yg=="}}`,
			want: `{"payload":{"body":"YQ=="}}` + "\n" + `{"payload":{"body":"Yg=="}}` + "\n",
		},
		"a wrong template": {
			connect: []string{`--answer={"nope": 1}`}, method: "UnaryCall", code: 7, err: `INTERNAL: the answer is no grpc.testing.SimpleResponse`,
		},
		"two answers, and one is wanted": {
			connect: []string{`--answer={} {}`}, method: "UnaryCall", code: 7, err: "more than one answer",
		},
		"a command": {
			connect: []string{`--exec=read request; printf '{"username": "%s"}' "$PUSHTUNNEL_CLIENT $PUSHTUNNEL_METHOD"`},
			method:  "UnaryCall", data: request, want: `{"username":"device grpc.testing.TestService/UnaryCall"}` + "\n",
		},
		"a command that echoes a stream": {
			connect: []string{`--exec=cat`}, method: "FullDuplexCall", data: `{"payload": {"body": "YQ=="}} {"payload": {"body": "Yg=="}}`,
			want: `{"payload":{"body":"YQ=="}}` + "\n" + `{"payload":{"body":"Yg=="}}` + "\n",
		},
		"a command that fails": {
			connect: []string{`--exec=echo it is broken >&2; exit 3`}, method: "UnaryCall", code: 7, err: "UNKNOWN: it is broken",
		},
		"a command that says nothing": {
			connect: []string{`--exec=exit 4`}, method: "UnaryCall", code: 7, err: "UNKNOWN: exit status 4",
		},
	} {
		t.Run(name, func(t *testing.T) {
			device := connect(t, server, append([]string{"device", set}, c.connect...)...)
			got := run(t, with(server, "call", "device", service+c.method, "-d", c.data, "-H", "who: me")...)
			if got.out != c.want || got.code != c.code || !strings.Contains(got.err, c.err) {
				t.Errorf("got %+v, want %q, code %d and %q", got, c.want, c.code, c.err)
			}
			if code := device.end(t); code != 0 {
				t.Errorf("connect: got exit code %d, want 0", code)
			}
		})
	}
}

// A method that nobody has described is served as well: its bytes are shown.
func TestConnectWithoutSchema(t *testing.T) {
	_, server := serve(t)
	set := "--protoset=" + interopSet(t)
	device := connect(t, server, "c1")
	got := run(t, with(server, "call", "c1", service+"UnaryCall", set, "-d", `{"payload": {"body": "aGk="}}`)...)
	if want := (result{out: "{}\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	var line struct {
		Method string `json:"method"`
		Bytes  []byte `json:"bytes"`
	}
	if err := json.Unmarshal([]byte(device.line(t, device.out, "UnaryCall")), &line); err != nil {
		t.Fatal(err)
	}
	if want := "\x1a\x04\x12\x02hi"; string(line.Bytes) != want || line.Method != service+"UnaryCall" {
		t.Errorf("got %+v, want the bytes %q", line, want)
	}
	// A command gets the bytes, and its output is the answer.
	echo := connect(t, server, "c2", "--exec=cat")
	got = run(t, with(server, "call", "c2", service+"FullDuplexCall", set, "-d", `{"payload": {"body": "aGk="}}`)...)
	if got.code != 0 {
		t.Errorf("got %+v and %q, want an answer", got, echo.out)
	}
}

func TestConnectMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		err  string
	}{
		"a code that is none":   {[]string{"--fail=NOPE"}, "no code of gRPC"},
		"two ways to answer":    {[]string{"--answer={}", "--exec=true"}, "do not go together"},
		"a template that is no": {[]string{"--answer={{.Broken"}, "--answer"},
		"no such proto":         {[]string{"--proto=/does/not/exist.proto"}, "--proto"},
		"two schemas":           {[]string{"--proto=a.proto", "--protoset=b.pb"}, "do not go together"},
		"no key":                {[]string{"--cert=x"}, "--cert and --key go together"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, append([]string{"connect", "c1", "--server=127.0.0.1:1"}, c.args...)...)
			if got.code != 2 || !strings.Contains(got.err, c.err) {
				t.Errorf("got %+v, want exit code 2 and %q", got, c.err)
			}
		})
	}
}
