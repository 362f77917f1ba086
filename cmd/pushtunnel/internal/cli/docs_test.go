package cli

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of settings in docs/CLI.md")

const manual = "../../../../docs/CLI.md"

// settingsTable is the flags of serve as the manual has them.
func settingsTable(t *testing.T) string {
	t.Helper()
	k, err := newParser(Streams{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	group := "-"
	for _, n := range k.Model.Children {
		if n.Name != "serve" {
			continue
		}
		for _, f := range n.Flags {
			if f.Name == "help" || f.Name == "config" || f.Name == "check-config" {
				continue
			}
			title := "The server"
			if f.Group != nil {
				title = f.Group.Title
			}
			if title != group {
				group = title
				fmt.Fprintf(&b, "\n| %s | default | |\n| --- | --- | --- |\n", title)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, f.Default, f.Help)
		}
	}
	return "<!-- settings:begin -->" + b.String() + "<!-- settings:end -->"
}

// The manual has all settings. "go test ./cmd/pushtunnel/internal/cli -update" puts them
// there.
func TestManualHasAllSettings(t *testing.T) {
	want := settingsTable(t)
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`(?s)<!-- settings:begin -->.*<!-- settings:end -->`).FindString(string(data))
	if *update && got != want {
		text := strings.Replace(string(data), got, want, 1)
		if err := os.WriteFile(manual, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Error("docs/CLI.md has other settings than serve: run go test ./cmd/pushtunnel/internal/cli -update")
	}
}
