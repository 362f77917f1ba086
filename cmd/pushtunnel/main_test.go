package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMain makes the test's binary the command itself when a test starts it.
func TestMain(m *testing.M) {
	if os.Getenv("PUSHTUNNEL_TEST_COMMAND") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "PUSHTUNNEL_TEST_COMMAND=1")
	return cmd
}

func terminate(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v after SIGTERM, want a process that ends in order", err)
	}
}

// The three commands as processes: SIGTERM ends the server and the client in order,
// while a call waits for its answer, which comes.
func TestProcesses(t *testing.T) {
	serve := command(t, "serve", "--listen=127.0.0.1:0", "--admin-listen=", "--log-format=json")
	log, err := serve.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	addr := ""
	for addr == "" && lines.Scan() {
		var line struct{ Msg, Addr string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Msg == "serving" {
			addr = line.Addr
		}
	}

	// The client answers when this test has said so on its command's standard input: a
	// file that is there.
	let := t.TempDir() + "/let"
	connect := command(t, "connect", "c1", "--server="+addr,
		`--exec=cat >/dev/null; until [ -e "`+let+`" ]; do sleep 0.02; done; echo '{"display": "at last"}'`)
	events, err := connect.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := connect.Start(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	call := command(t, "call", "c1", "examples.notifier.v1.Notifier/Notify", "--server="+addr, "--wait")
	call.Stdout, call.Stderr = &out, &out
	if err := call.Start(); err != nil {
		t.Fatal(err)
	}
	received := bufio.NewScanner(events)
	if !received.Scan() {
		t.Fatal("the client has received nothing")
	}

	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() && !strings.Contains(lines.Text(), `"msg":"stopping"`) {
	}
	if err := os.WriteFile(let, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := call.Wait(); err != nil || out.String() != `{"display":"at last"}`+"\n" {
		t.Errorf("call: got %v and %q, want an answer", err, out.String())
	}
	for lines.Scan() {
	}
	if err := serve.Wait(); err != nil {
		t.Errorf("serve: got %v, want it to end in order", err)
	}
	terminate(t, connect)
}

func TestExitCode(t *testing.T) {
	cmd := command(t, "frob")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 || err == nil || !strings.Contains(string(out), "frob") {
		t.Errorf("got %v and %q, want exit code 2", err, out)
	}
}

// go install with a version refuses a go.mod that has them.
func TestInstallable(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "replace") || strings.HasPrefix(line, "exclude") {
			t.Errorf("go.mod has %q, with which nobody can go install this command", line)
		}
	}
}
