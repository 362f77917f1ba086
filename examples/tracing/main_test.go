package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exported is a span as the exporter writes it.
type exported struct {
	Name        string
	SpanContext struct{ TraceID, SpanID string }
	Parent      struct {
		TraceID, SpanID string
		Remote          bool
	}
	SpanKind int
	Status   struct{ Code, Description string }
	Resource []keyValue
}

type keyValue struct {
	Key   string
	Value struct{ Value any }
}

// link is what a span of a chain should be. Its parent is the link before it.
type link struct {
	Process, Name, Kind string
	Remote              bool // the parent is in another process
	Error               string
}

// The kinds of spans, as the exporter writes them.
var kinds = map[int]string{1: "internal", 2: "server", 3: "client"}

// chain is a call from the caller to the handler: six spans in four processes.
func chain(call, method, display, own string, problem string) []link {
	method = "examples.notifier.v1.Notifier/" + method
	return []link{
		{Process: "caller", Name: call, Kind: "internal", Error: problem},
		{Process: "caller", Name: method, Kind: "client", Error: problem},
		{Process: "server", Name: method, Kind: "server", Remote: true},
		{Process: "server", Name: method, Kind: "client", Error: problem},
		{Process: display, Name: method, Kind: "server", Remote: true},
		{Process: display, Name: own, Kind: "internal", Error: problem},
	}
}

// Each call is one trace, in one chain from the caller's span to that of the
// handler in the client, and there are no other spans.
func TestTraces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spans.json")
	if err := command(t.Context(), []string{"-o", path}, io.Discard); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantTraces(t, file)
}

func wantTraces(t *testing.T, file []byte) {
	t.Helper()
	got := make(map[string][]link) // by the name of the first span
	for id, spans := range byTrace(t, file) {
		links := follow(t, id, spans)
		got[links[0].Name] = links
	}
	want := map[string][]link{
		"a push":    chain("a push", "Notify", "kitchen", "show", ""),
		"a stream":  chain("a stream", "Install", "kitchen", "install", ""),
		"a failure": chain("a failure", "Install", "cellar", "install", "the disk is full"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the traces (-want +got):\n%s", diff)
	}
}

// byTrace reads what the exporter has written.
func byTrace(t *testing.T, file []byte) map[string][]exported {
	t.Helper()
	all := make(map[string][]exported)
	for d := json.NewDecoder(bytes.NewReader(file)); ; {
		var s exported
		if err := d.Decode(&s); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[s.SpanContext.TraceID] = append(all[s.SpanContext.TraceID], s)
	}
}

// follow goes from the span without a parent to the last, and fails if the spans
// are no chain.
func follow(t *testing.T, trace string, spans []exported) []link {
	t.Helper()
	const none = "0000000000000000"
	after := make(map[string]exported)
	for _, s := range spans {
		if s.Parent.SpanID != none && s.Parent.TraceID != trace {
			t.Errorf("%s: its parent is of trace %s, want %s", s.Name, s.Parent.TraceID, trace)
		}
		if other, taken := after[s.Parent.SpanID]; taken {
			t.Errorf("%s and %s have the same parent", other.Name, s.Name)
		}
		after[s.Parent.SpanID] = s
	}
	var links []link
	for s, ok := after[none]; ok; s, ok = after[s.SpanContext.SpanID] {
		l := link{Name: s.Name, Kind: kinds[s.SpanKind], Remote: s.Parent.Remote}
		if s.Status.Code == "Error" {
			l.Error = s.Status.Description
		}
		for _, a := range s.Resource {
			if a.Key == "service.name" {
				l.Process, _ = a.Value.Value.(string)
			}
		}
		links = append(links, l)
	}
	if len(links) != len(spans) || len(links) == 0 {
		t.Fatalf("trace %s: %d of its %d spans are in the chain from its first: %+v", trace, len(links), len(spans), spans)
	}
	return links
}

// Standard output has the spans in place of the trees.
func TestStandardOutput(t *testing.T) {
	var out bytes.Buffer
	if err := command(t.Context(), []string{"-o", "-"}, &out); err != nil {
		t.Fatal(err)
	}
	wantTraces(t, out.Bytes())
}

// README.md shows what the program prints.
func TestTrees(t *testing.T) {
	var out bytes.Buffer
	if err := command(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), out.String()) {
		t.Errorf("README.md does not show what the program prints:\n%s", &out)
	}
}

func TestFailsLoudly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := command(ctx, nil, io.Discard); err == nil {
		t.Error("the program succeeded without time to run")
	}
	if err := command(t.Context(), []string{"-o", filepath.Join(t.TempDir(), "no", "folder")}, io.Discard); err == nil {
		t.Error("the program succeeded without a file to write to")
	}
}
