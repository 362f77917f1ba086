package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// options returns the exported functions of a package whose names begin with With.
func options(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	files, err := filepath.Glob(filepath.Join(root, pkg, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "With") {
				all[pkg+"."+fn.Name.Name] = true
			}
		}
	}
	return all
}

var option = regexp.MustCompile(`\b(server|native|client|certs)\.With\w+`)

// The table of settings has every option of the server, and options that the
// documents name exist.
func TestSettings(t *testing.T) {
	known := make(map[string]bool)
	for _, pkg := range []string{"server", "native", "client", "certs"} {
		for name := range options(t, pkg) {
			known[name] = true
		}
	}
	operations := read(t, "docs/OPERATIONS.md")
	for name := range options(t, "server") {
		if !strings.Contains(operations, "`"+name+"`") {
			t.Errorf("docs/OPERATIONS.md does not tell of %s", name)
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if installed(d) {
			return fs.SkipDir
		}
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		for _, name := range option.FindAllString(read(t, strings.TrimPrefix(path, root)), -1) {
			if !known[name] {
				t.Errorf("%s tells of %s, which there is not", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
