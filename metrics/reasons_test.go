package metrics

import (
	"go/ast"
	"go/parser"
	"go/token"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pushtunnel/pushtunnel/server"
)

// Every reason of package server is among those that are shown.
func TestAllReasonsAreKnown(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../server/reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		name, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		if !slices.Contains(reasons, server.Reason(name)) {
			t.Errorf("reason %q is not shown", name)
		}
		return true
	})
	if n != len(reasons) {
		t.Errorf("got %d reasons in package server, want %d", n, len(reasons))
	}
}

func TestVersion(t *testing.T) {
	lib := func(version string, replace *debug.Module) *debug.Module {
		return &debug.Module{Path: modulePath, Version: version, Replace: replace}
	}
	for _, test := range []struct {
		name string
		info debug.BuildInfo
		want string
	}{
		{"a dependency", debug.BuildInfo{Main: debug.Module{Path: "x", Version: "v9.0.0"}, Deps: []*debug.Module{{Path: "y"}, lib("v1.2.3", nil)}}, "v1.2.3"},
		{"the program itself", debug.BuildInfo{Main: *lib("(devel)", nil)}, "(devel)"},
		{"replaced by a fork", debug.BuildInfo{Deps: []*debug.Module{lib("v1.2.3", &debug.Module{Path: "fork", Version: "v1.2.4"})}}, "v1.2.4"},
		{"replaced by a directory", debug.BuildInfo{Deps: []*debug.Module{lib("v1.2.3", &debug.Module{Path: "../lib"})}}, "unknown"},
		{"not there", debug.BuildInfo{Main: debug.Module{Path: "x"}}, "unknown"},
	} {
		if got := versionIn(&test.info); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
