package label_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/metrics/internal/label"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

func TestCodeOf(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, "OK"},
		{status.Error(codes.NotFound, ""), "NotFound"},
		{fmt.Errorf("wrapped: %w", status.Error(codes.Unauthenticated, "")), "Unauthenticated"},
		{errors.New("no status"), "Unknown"},
		{context.DeadlineExceeded, "DeadlineExceeded"},
		{status.Error(17, "a peer's own"), "other"},
		{status.Error(1<<32-1, "a peer's own"), "other"},
	} {
		if got := label.CodeOf(test.err).String(); got != test.want {
			t.Errorf("%v: got %q, want %q", test.err, got, test.want)
		}
	}
}

// Every limit of package tunnel has a value of its own.
func TestLimitOfKnowsAllLimits(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../../tunnel/limit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Limit") {
			return true
		}
		name, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		if l, own, ok := label.LimitOf(tunnel.Limit(name)); l.String() != name || !own || !ok {
			t.Errorf("limit %q: got %q, own: %v, known: %v, want it as it is, and own", name, l, own, ok)
		}
		return true
	})
	if n != label.Limits-1 {
		t.Errorf("got %d limits in package tunnel, want %d", n, label.Limits-1)
	}
}

func TestLimitOfThePeer(t *testing.T) {
	for name, want := range map[tunnel.Limit]string{tunnel.LimitCalls: "calls", "made up": "other", "": "other"} {
		l, own, ok := label.LimitOf(name.Status("full").Err())
		if l.String() != want || own || !ok {
			t.Errorf("%q: got %q, own: %v, ok: %v, want %q, false, true", name, l, own, ok, want)
		}
	}
	if _, _, ok := label.LimitOf(status.Error(codes.ResourceExhausted, "the disk is full")); ok {
		t.Error("got a limit of a status that names none")
	}
}

func TestTableIsBounded(t *testing.T) {
	made := 0
	table := label.NewTable(3, func(value string) *string { made++; return &value })
	for round := range 2 {
		for i, want := range []string{"a", "b", "other", "other", "c", "other", "other"} {
			value := []string{"a", "b", "\xff", strings.Repeat("x", 256), "c", "d", "e"}[i]
			if got := *table.Get(value); got != want {
				t.Errorf("round %d: got %q for %.5q, want %q", round, got, value, want)
			}
		}
	}
	if made != 4 {
		t.Errorf("got %d things, want 4: for a, b, c and other", made)
	}
	seen := map[string]bool{}
	table.All(func(value string, _ *string) { seen[value] = true })
	if len(seen) != 4 || !seen["c"] || !seen["other"] {
		t.Errorf("got %v, want a, b, c and other", seen)
	}
}

func TestTableMakesOneThingOnce(t *testing.T) {
	type thing struct{ value string }
	table := label.NewTable(10, func(value string) *thing { return &thing{value} })
	got := make([]*thing, 100)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i] = table.Get(strconv.Itoa(i % 20)) })
	}
	wg.Wait()
	for i, v := range got {
		if v != got[i%20] {
			t.Errorf("got two things for %d", i%20)
		}
		if v.value != strconv.Itoa(i%20) && v.value != label.Other {
			t.Errorf("got the thing for %s for %d", v.value, i%20)
		}
	}
}
