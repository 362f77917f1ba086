package gateway

import (
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

func TestParseRoute(t *testing.T) {
	const method = "/p.S/M"
	for name, test := range map[string]struct {
		pairs                              []string
		client, namespace, session, labels string
		waits                              bool
		err                                string // a part of it
	}{
		"a name":               {pairs: []string{ClientKey, "c1"}, client: "c1"},
		"a name in bytes":      {pairs: []string{ClientKey + "-bin", "Küche"}, client: "Küche"},
		"a namespace":          {pairs: []string{ClientKey, "c1", NamespaceKey, "acme"}, client: "c1", namespace: "acme"},
		"an empty namespace":   {pairs: []string{ClientKey, "c1", NamespaceKey, ""}, client: "c1"},
		"a session alone":      {pairs: []string{SessionKey, "S"}, session: "S"},
		"labels alone":         {pairs: []string{LabelsKey, "region=eu, !old"}, labels: "region=eu, !old"},
		"waiting":              {pairs: []string{ClientKey, "c1", WaitKey, "true"}, client: "c1", waits: true},
		"not waiting":          {pairs: []string{ClientKey, "c1", WaitKey, "false"}, client: "c1"},
		"everything":           {pairs: []string{ClientKey, "c1", NamespaceKey, "n", SessionKey, "S", LabelsKey, "a", WaitKey, "true"}, client: "c1", namespace: "n", session: "S", labels: "a", waits: true},
		"other keys":           {pairs: []string{ClientKey, "c1", "x-pushtunnel-client", "c2"}, client: "c1"},
		"nothing":              {err: "names no client"},
		"a namespace alone":    {pairs: []string{NamespaceKey, "n"}, err: "names no client"},
		"two names":            {pairs: []string{ClientKey, "c1", ClientKey, "c2"}, err: "2 times"},
		"one of each":          {pairs: []string{ClientKey, "c1", ClientKey + "-bin", "c1"}, err: "2 times"},
		"an empty name":        {pairs: []string{ClientKey, ""}, err: `"pushtunnel-client"`},
		"a long name":          {pairs: []string{ClientKey, strings.Repeat("x", tunnel.MaxName+1)}, err: `"pushtunnel-client"`},
		"a long namespace":     {pairs: []string{ClientKey, "c1", NamespaceKey, strings.Repeat("x", 256)}, err: `"pushtunnel-namespace"`},
		"an empty session":     {pairs: []string{SessionKey, ""}, err: `"pushtunnel-session"`},
		"a bad selector":       {pairs: []string{LabelsKey, "region in eu"}, err: `"pushtunnel-labels"`},
		"an empty selector":    {pairs: []string{ClientKey, "c1", LabelsKey, " "}, err: "match everything"},
		"a bad truth":          {pairs: []string{ClientKey, "c1", WaitKey, "yes"}, err: `"true" or "false", not "yes"`},
		"an unknown key":       {pairs: []string{ClientKey, "c1", "pushtunnel-label", "a"}, err: `does not know the metadata key "pushtunnel-label"`},
		"the gateway's answer": {pairs: []string{ClientKey, "c1", OutcomeKey, "answered"}, err: "does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := parseRoute(metadata.Pairs(test.pairs...), method)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || !strings.HasPrefix(err.Error(), "pushtunnel: ") {
					t.Fatalf("got the error %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.Client != test.client || r.Namespace != test.namespace || r.Session != test.session ||
				r.Selector.String() != test.labels || r.waits != test.waits || r.Method != method || r.selects != (test.labels != "") {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// FuzzParseRoute reads whatever callers may send. What is let through is something
// that a client may be called, and never everything.
func FuzzParseRoute(f *testing.F) {
	f.Add("c1", "acme", "S", "region=eu", "true", "pushtunnel-x")
	f.Add("", "", "", "a in (b, c), !d", "false", "x")
	f.Add("\x00", "\xff", strings.Repeat("x", 300), `a="\"`, "", "")
	f.Fuzz(func(t *testing.T, client, namespace, session, labels, wait, other string) {
		md := metadata.MD{}
		for key, v := range map[string]string{ClientKey: client, NamespaceKey: namespace, SessionKey: session, LabelsKey: labels, WaitKey: wait, other: "v"} {
			if v != "" {
				md[key] = append(md[key], v)
			}
		}
		r, err := parseRoute(md, "/p.S/M")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "pushtunnel: ") {
				t.Errorf("got the error %q", err)
			}
			return
		}
		switch {
		case r.Client == "" && r.Session == "" && !r.selects:
			t.Errorf("the route %+v is to everybody", r)
		case r.Client != "" && tunnel.CheckName(r.Client) != nil:
			t.Errorf("no client has the name %q", r.Client)
		case !utf8.ValidString(r.Namespace):
			t.Errorf("got the namespace %q", r.Namespace)
		case r.selects && strings.TrimSpace(r.Selector.String()) == "":
			t.Error("the selector is empty")
		}
	})
}

func TestSubtype(t *testing.T) {
	for in, want := range map[string]string{
		"application/grpc": "", "application/grpc+proto": "proto", "application/grpc+JSON": "json",
		"application/grpc;x": "x", "application/grpc+": "", "application/grpcx": "", "text/html": "", "": "",
	} {
		if got := subtype(metadata.Pairs("content-type", in)); got != want {
			t.Errorf("the content-type %q: got the subtype %q, want %q", in, got, want)
		}
	}
}
