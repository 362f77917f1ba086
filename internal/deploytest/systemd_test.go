//go:build unix

package deploytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unit returns the unit, with changes, for the program that the tests have built.
func unit(t *testing.T, changes ...string) string {
	t.Helper()
	text := strings.NewReplacer(append(changes, "/usr/local/bin/pushtunnel", program(t))...).Replace(read(t, "systemd/pushtunnel.service"))
	path := filepath.Join(t.TempDir(), "pushtunnel.service")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func analyze(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze")
	}
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil || strings.HasPrefix(args[0], "verify") && len(out) > 0 {
		t.Errorf("systemd-analyze %q: %v: %s", args, err, out)
	}
}

// systemd understands the unit, with and without what is in comments.
func TestUnit(t *testing.T) {
	analyze(t, "verify", "--man=no", unit(t))
	analyze(t, "verify", "--man=no", unit(t, "CapabilityBoundingSet=\n", "", "#CapabilityBoundingSet", "CapabilityBoundingSet", "#AmbientCapabilities", "AmbientCapabilities"))
}

// What the program may do is little: 2 of 10 on systemd's own scale.
func TestUnitIsConfined(t *testing.T) {
	if help, err := exec.CommandContext(t.Context(), "systemd-analyze", "--help").Output(); err != nil || !strings.Contains(string(help), "--offline") {
		t.Skip("there is no systemd-analyze that looks at files")
	}
	analyze(t, "security", "--no-pager", "--offline=true", "--threshold=20", unit(t))
}
