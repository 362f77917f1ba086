package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// What is measured runs in processes of its own, so that contenders do not pay for
// each other's memory. They are this program, started with a role in the
// environment.
const (
	roleVariable = "PUSHTUNNEL_BENCH_ROLE"
	taskVariable = "PUSHTUNNEL_BENCH_TASK"

	roleFleet   = "fleet"   // both ends, to be measured: see fleetProcess
	roleListen  = "listen"  // the end that listens
	roleClients = "clients" // the end that dials: see clientsProcess
	roleIdle    = "idle"    // the end that listens; it measures its memory
)

// A task is what a process with a role is to do.
type task struct {
	Contender string
	Link      string // as link.text
	Clients   int
	Split     bool   // a fleet: the end that does not call is in other processes
	Addr      string // where the clients connect
	LiveData  int    // MiB to hold besides
}

// text is the link as a task has it.
func (l link) text() string {
	return fmt.Sprintf("tls=%t recommended=%t", l.tls, l.recommended)
}

// link is the link of a task.
func (t task) link() (l link, err error) {
	_, err = fmt.Sscanf(t.Link, "tls=%t recommended=%t", &l.tls, &l.recommended)
	return l, err
}

// A role is a process with a role. It ends when its input ends.
type role struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// startRole starts this program with another role. The child writes errors where
// this process does.
func startRole(name string, t task) (*role, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t.LiveData = len(liveData) >> 20
	encoded, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), self)
	cmd.Env = append(os.Environ(), roleVariable+"="+name, taskVariable+"="+string(encoded))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &role{cmd, in, json.NewDecoder(out)}, nil
}

// read reads what the process says next.
func (r *role) read(v any) error {
	if err := r.out.Decode(v); err != nil {
		return fmt.Errorf("process of %s: %w", r.cmd.Path, err)
	}
	return nil
}

// tell tells it something.
func (r *role) tell(v any) error { return json.NewEncoder(r.in).Encode(v) }

// stop ends the process, and waits for it.
func (r *role) stop() error { return errors.Join(r.in.Close(), r.cmd.Wait()) }

// playRole does what the environment asks for. It returns false if this is not
// a process with a role.
func playRole() (played bool, err error) {
	name := os.Getenv(roleVariable)
	if name == "" {
		return false, nil
	}
	var t task
	if err := json.Unmarshal([]byte(os.Getenv(taskVariable)), &t); err != nil {
		return true, err
	}
	c, err := contenderNamed(t.Contender)
	if err != nil {
		return true, err
	}
	l, err := t.link()
	if err != nil {
		return true, err
	}
	raiseOpenFiles()
	if t.LiveData > 0 {
		holdLiveData(t.LiveData)
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	switch name {
	case roleFleet:
		return true, playFleet(c, l, t, in, out)
	case roleListen:
		return true, playListener(c, l, in, out)
	case roleClients:
		return true, playClients(c, l, t, in, out)
	case roleIdle:
		return true, playIdle(c, l, t, out)
	default:
		return true, fmt.Errorf("no role %q", name)
	}
}
