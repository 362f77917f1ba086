package docs

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the top of the repository.
const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var snippet = regexp.MustCompile(`(?s)From \[[^\]]*\]\(([^)]*)\):\n\n` + "```go\n(.*?)```")

// TestSnippets compares the Go code in documents with the files that they say it
// is from. Between its paragraphs something may be left out.
func TestSnippets(t *testing.T) {
	for _, document := range []string{"README.md", "docs/ADMIN.md", "docs/PRESENCE.md"} {
		text := read(t, document)
		found := snippet.FindAllStringSubmatch(text, -1)
		if all := strings.Count(text, "```go\n"); all == 0 || all != len(found) {
			t.Errorf("%s has %d pieces of Go, of which %d say where they are from", document, all, len(found))
		}
		for _, m := range found {
			source := undent(read(t, filepath.Join(filepath.Dir(document), m[1])))
			for paragraph := range strings.SplitSeq(m[2], "\n\n") {
				if !strings.Contains(source, undent(paragraph)) {
					t.Errorf("%s shows this, but it is not in %s:\n%s", document, m[1], paragraph)
				}
			}
		}
	}
}

// undent drops the white space at the ends of all lines.
func undent(text string) string {
	var out strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// installed reports whether a folder has what a package manager has put there.
func installed(d fs.DirEntry) bool {
	return d != nil && d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".venv")
}

// TestLinks follows the links from one file of the repository to another.
func TestLinks(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if installed(d) {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if problem := follow(path, m[1]); problem != "" {
				t.Errorf("%s: the link to %s: %s", path, m[1], problem)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// follow says what is wrong with a link in a file.
func follow(from, to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return err.Error()
	}
	if u.Scheme != "" {
		return ""
	}
	target := from
	if u.Path != "" {
		target = filepath.Join(filepath.Dir(from), filepath.FromSlash(u.Path))
	}
	if _, err := os.Stat(target); err != nil {
		return "there is no such file"
	}
	if u.Fragment == "" {
		return ""
	}
	text, err := os.ReadFile(target)
	if err != nil {
		return err.Error()
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(line, "#") && anchor(line) == u.Fragment {
			return ""
		}
	}
	return "there is no such heading"
}

var notAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)

// anchor is the anchor of a heading, as GitHub makes it.
func anchor(heading string) string {
	text := strings.ToLower(strings.TrimSpace(strings.TrimLeft(heading, "#")))
	return strings.ReplaceAll(notAnchor.ReplaceAllString(text, ""), " ", "-")
}
