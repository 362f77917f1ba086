package stocktools

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const manual = "../../docs/GATEWAY.md"

// example is a command in the manual, and what it prints.
type example struct{ command, out string }

// examples returns the commands in the manual's section on stock tools.
func examples(t *testing.T) []example {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## With stock tools\n")
	_, block, _ := strings.Cut(section, "\n```\n")
	block, _, _ = strings.Cut(block, "\n```\n")
	var all []example
	for _, part := range strings.Split("\n"+block, "\n$ ")[1:] {
		part = strings.ReplaceAll(part, "\\\n", "")
		command, out, _ := strings.Cut(part, "\n")
		all = append(all, example{command, out})
	}
	return all
}

// TestManual runs the commands in the manual as they are there, but for the address.
func TestManual(t *testing.T) {
	path := os.Getenv("PATH")
	for _, name := range []string{"grpcurl", "grpc-health-probe", "ghz"} {
		path = filepath.Dir(tool(t, name)) + string(os.PathListSeparator) + path
	}
	_, addr := serve(t)
	start(t, "connect", "c1", "--server="+addr).line(t, "connected to")
	all := examples(t)
	if len(all) != 5 {
		t.Fatalf("%s has %d commands, want 5", manual, len(all))
	}
	for _, e := range all {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(e.command, "127.0.0.1:7420", addr))
		cmd.Env = append(os.Environ(), "PATH="+path)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v", e.command, err)
		}
		if diff := cmp.Diff(strings.Fields(e.out), strings.Fields(string(out))); diff != "" {
			t.Errorf("%s (-manual +printed):\n%s", e.command, diff)
		}
	}
}
