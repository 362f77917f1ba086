package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// displayCommand makes this program a display: display <addr> <name> <label>.
const displayCommand = "display"

// process is a client in a process of its own.
type process struct{ cmd *exec.Cmd }

// startProcess starts this program again, as the display of this name.
func startProcess(ctx context.Context, addr, name string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, displayCommand, addr, name, name) //nolint:gosec // it is this program
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return &process{cmd: cmd}, nil
}

// kill ends the process as kill -9 does: it has no time for a farewell.
func (p *process) kill() {
	p.cmd.Process.Kill() //nolint:errcheck // it is gone then
	p.cmd.Wait()         //nolint:errcheck // it was killed
}
