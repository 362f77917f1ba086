package cli_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/javapeer"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/java"
)

// nativeClient connects a native client whose methods are all h.
func nativeClient(t *testing.T, addr, name string, h native.UnknownHandler) {
	t.Helper()
	device := client.NewDialer(native.Dialer(addr, native.WithUnknownHandler(h)), name)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- device.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

func TestCallJava(t *testing.T) {
	p, server := serve(t, "--native-listen=127.0.0.1:0")
	nativeClient(t, p.logged(t, "serving")["native"].(string), "java", func(_ context.Context, service, method string, args []any) (any, error) {
		if method == "fail" {
			return nil, errors.New("no")
		}
		return java.List{Class: "ArrayList", Elems: append([]any{service, method}, args...)}, nil
	})
	connect(t, server, "c1")
	if got := run(t, with(server, "call", "java", "x.Svc/hi", "--java", "--wait")...); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	proto := file(t, "lamps.proto", strings.ReplaceAll(lamps, "lamps.v1", "unknown.v1"))
	request := file(t, "args.json", `[1]`)
	for name, c := range map[string]struct {
		args []string
		in   string
		want result // of err: has
	}{
		"arguments": {
			args: []string{"java", "x.Svc/hi", "--java", "-d", `["bob", 7, {"@long": 7}, {"@class": "x.Y", "1": "a", "2": [1, 2]}, {"k": [1.5]}, null]`},
			want: result{out: `["x.Svc","hi","bob",7,{"@long":7},{"@class":"x.Y","1":"a","2":[1,2]},{"k":[1.5]}]` + "\n"},
		},
		"no arguments":       {args: []string{"java", "x.Svc/hi", "--java"}, want: result{out: `["x.Svc","hi"]` + "\n"}},
		"with a dot":         {args: []string{"java", "x.Svc.hi", "--java", "-d", "[]"}, want: result{out: `["x.Svc","hi"]` + "\n"}},
		"with a slash first": {args: []string{"java", "/x.Svc/hi", "--java"}, want: result{out: `["x.Svc","hi"]` + "\n"}},
		"a file":             {args: []string{"java", "x.Svc/hi", "--java", "-d", "@" + request}, want: result{out: `["x.Svc","hi",1]` + "\n"}},
		"standard input":     {args: []string{"java", "x.Svc/hi", "--java", "-d", "@"}, in: `["in"]`, want: result{out: `["x.Svc","hi","in"]` + "\n"}},
		"the trailer":        {args: []string{"java", "x.Svc/hi", "--java", "-v"}, want: result{out: `["x.Svc","hi"]` + "\n", err: "header "}},

		"an object":      {args: []string{"java", "x.Svc/hi", "--java", "-d", "{}"}, want: result{code: 2, err: "[ARGUMENT, …]"}},
		"wrong JSON":     {args: []string{"java", "x.Svc/hi", "--java", "-d", `[{"@bite": 1}]`}, want: result{code: 2, err: "argument 1: the tag @bite is unknown"}},
		"no method":      {args: []string{"java", "--java"}, want: result{code: 2, err: "--java needs a method"}},
		"no service":     {args: []string{"java", "hi", "--java"}, want: result{code: 7, err: "INVALID_ARGUMENT"}},
		"with a schema":  {args: []string{"java", "x.Svc/hi", "--java", "--proto=" + proto}, want: result{code: 2, err: "--java is for clients without a schema"}},
		"null in front":  {args: []string{"java", "x.Svc/hi", "--java", "-d", `[null, 1]`}, want: result{code: 7, err: "argument 0 is null"}},
		"no answer":      {args: []string{"java", "x.Svc/fail", "--java", "--timeout=1s"}, want: result{code: 4, err: "DEADLINE_EXCEEDED"}},
		"nobody":         {args: []string{"c2", "x.Svc/hi", "--java"}, want: result{code: 3, err: `client "c2" is not connected (outcome: not sent)`}},
		"a gRPC client":  {args: []string{"c1", "x.Svc/hi", "--java"}, want: result{code: 7, err: "x.Svc.hi: the client speaks gRPC and has no Java methods"}},
		"without --java": {args: []string{"java", "x.Svc/hi"}, want: result{code: 2, err: "or --java if it is a Java client"}},
		"a schema that the server has not": {
			args: []string{"java", "unknown.v1.Lamp/Switch", "--proto=" + proto},
			want: result{code: 7, err: "give it the same file as --native-proto or --native-protoset, or call with --java"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := pipe(t, c.in, with(server, append([]string{"call"}, c.args...)...)...)
			if got.code != c.want.code || got.out != c.want.out || !strings.Contains(got.err, c.want.err) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	// What is printed is an argument.
	first := pipe(t, "", with(server, "call", "java", "x.Svc/hi", "--java", "-d", `[{"@float": 1.5}, {"@class": "x.Y", "1": {"2": true}, "3": {"@value": {"a": []}}}]`)...)
	again := pipe(t, "", with(server, "call", "java", "x.Svc/hi", "--java", "-d", "["+first.out+"]")...)
	if want := `["x.Svc","hi",` + strings.TrimSpace(first.out) + "]\n"; first.code != 0 || again.out != want {
		t.Errorf("got %+v, want %s", again, want)
	}
}

// A server without native clients says how to have them.
func TestCallJavaWithoutNative(t *testing.T) {
	_, server := serve(t)
	connect(t, server, "c1", "--fail=UNIMPLEMENTED:unknown service pushtunnel.dynamic.v1.Dynamic")
	got := run(t, with(server, "call", "c1", "x.Svc/hi", "--java")...)
	if got.code != 2 || !strings.Contains(got.err, "start it with --native-listen") {
		t.Errorf("got %+v", got)
	}
}

// A real Java client, whose program knows nothing of this. "make interop-java" runs it.
func TestCallJavaPeer(t *testing.T) {
	for _, version := range javapeer.Versions(t) {
		t.Run(version, func(t *testing.T) {
			p, server := serve(t, "--native-listen=127.0.0.1:0")
			peer := javapeer.StartClient(t, version, javapeer.Client{Addr: p.logged(t, "serving")["native"].(string), Name: "c1"})
			threads := peer.Threads(t)
			call := func(method, args string) result {
				t.Helper()
				return run(t, with(server, "call", "c1", "interop.PushApi/"+method, "--java", "--wait", "--timeout=30s", "-d", args)...)
			}
			const (
				base   = `{"@class":"interop.Types$Base","1":7,"2":"n"}`
				holder = `{"@class":"interop.Types$Holder"}`
			)
			for _, c := range []struct{ method, args, want string }{
				{"pushHi", `["bob"]`, `"hi bob"`},
				{"pushAdd", `[1, {"@long": 2}]`, `{"@long":3}`},
				{"pushAdd", `[1, 2]`, `{"@long":3}`}, // an int is a long, too
				{"pushObject", `[` + base + `]`, base},
				{"pushObject", `[{"1": 9, "2": "other", "@class": "interop.Types$Base"}]`, `{"@class":"interop.Types$Base","1":9,"2":"other"}`},
				{"pushObject", `[[1, "x", {"@long": 5}]]`, `[1,"x",{"@long":5}]`},
				{"pushObject", `[{"k": 1}]`, `{"k":1}`},
				{"pushObject", `[{"@map": {"b": 1, "a": [` + base + `]}, "@class": "TreeMap"}]`, `{"@map":{"a":[` + base + `],"b":1},"@class":"TreeMap"}`},
				{"pushObject", `[{"@array": [[1], [2, 3]], "@class": "int[][]"}]`, `{"@array":[[1],[2,3]],"@class":"int[][]"}`},
				{"pushObject", `[{"@enum": "interop.Types$Color", "@ordinal": 2}]`, `{"@enum":"interop.Types$Color","@ordinal":2}`},
				{"pushObject", `[{"@date": "2026-01-02T03:04:05.006Z"}]`, `{"@date":"2026-01-02T03:04:05.006Z"}`},
				{"pushObject", `[{"@decimal": 1.50}]`, `{"@decimal":"1.50"}`},
				{"pushObject", `[{"@char": "ß"}]`, `{"@char":"ß"}`},
				{"pushObject", `[{"@byte": -5}]`, `{"@byte":-5}`},
				{"pushObject", `[1.5]`, `1.5`},
				{"pushObject", `["grüß 😀"]`, ""}, // Java writes it as two surrogates: read as one
			} {
				got := call(c.method, c.args)
				if c.want == "" {
					c.want = strings.Trim(c.args, "[]")
				}
				if want := (result{out: c.want + "\n"}); got != want {
					t.Errorf("%s %s:\ngot  %+v\nwant %+v", c.method, c.args, got, want)
				}
			}
			// An object with fields of all kinds comes back, and what is printed is an argument.
			first := call("pushHolder", "["+holder+"]")
			if again := call("pushHolder", "["+first.out+"]"); first.code != 0 || again != first {
				t.Errorf("got %+v, and as an argument of itself %+v", first, again)
			}
			got := call("pushHolder", `[{"@class":"interop.Types$Holder","3":2,"4":["p","q"],"5":[{"1":7,"2":"n"}],"6":{"1":[{"1":"k","2":1}]}}]`)
			if got.code != 0 || !strings.Contains(got.out, `"4":["p","q"]`) {
				t.Errorf("got %+v", got)
			}
			t.Logf("a Holder is %s", got.out)
			if got := run(t, with(server, "call", "c1", "interop.PushApi/pushAdd", "--java", "--timeout=2s", "-d", `["x", "y"]`)...); got.code != 4 || !strings.Contains(got.err, "Java clients do not answer") {
				t.Errorf("got %+v, want no answer and why", got)
			}
			if n := peer.Threads(t); n != threads {
				t.Errorf("%d worker threads at the end, want %d", n, threads)
			}
		})
	}
}
