package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"time"
)

// Idle clients are measured in a server process of its own, which has done
// nothing else, with the clients in a child of that process. Both are this
// program, started with its role in the environment.
const (
	roleVariable = "PUSHTUNNEL_BENCH_ROLE"
	taskVariable = "PUSHTUNNEL_BENCH_TASK"
	roleServer   = "server"
	roleClients  = "clients"
)

// A task is what a process with a role is to do.
type task struct {
	Contender     string
	TLS           bool
	StaticWindows bool
	Clients       int
	Addr          string // where the clients connect
}

func (t task) link() link { return link{tls: t.TLS, staticWindows: t.StaticWindows} }

// An idleSample is what one idle client costs the server.
type idleSample struct {
	RSS        float64 // bytes in memory; 0 where the system does not tell
	Heap       float64 // bytes of heap in use
	Stack      float64 // bytes of stacks in use
	Goroutines float64
}

// total is the heap and the stacks of a client in bytes.
func (s idleSample) total() float64 { return s.Heap + s.Stack }

// measureIdle measures c in processes of its own.
func measureIdle(c idleCase, clients int) (s idleSample, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd, err := roleCommand(ctx, roleServer, task{
		Contender: c.contender.name, TLS: c.link.tls, StaticWindows: c.link.staticWindows, Clients: clients,
	})
	if err != nil {
		return s, err
	}
	out, err := cmd.Output()
	if err != nil {
		return s, fmt.Errorf("server process: %w", err)
	}
	return s, json.Unmarshal(out, &s)
}

// roleCommand is this program with another role. The child writes errors where
// this process does.
func roleCommand(ctx context.Context, role string, t task) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, taskVariable+"="+string(encoded))
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// playRole does what the environment asks for. It returns false if this is not
// a process with a role.
func playRole() (played bool, err error) {
	role := os.Getenv(roleVariable)
	if role == "" {
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
	switch role {
	case roleServer:
		return true, playServer(c, t)
	case roleClients:
		return true, playClients(c, t, os.Stdin, os.Stdout)
	default:
		return true, fmt.Errorf("no role %q", role)
	}
}

// playServer measures what t.Clients clients cost and writes it to the standard
// output.
func playServer(c contender, t task) (err error) {
	e, err := c.listen(t.link())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	t.Addr = e.addr
	child, err := startClients(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(child.stop(), err) }()

	// The first few clients also pay for what is there once.
	const first = 50
	connect := func(from, count int) error {
		if err := child.connect(from, count); err != nil {
			return err
		}
		return awaitClients(e, from+count)
	}
	if err := connect(0, first); err != nil {
		return err
	}
	before := readMemory()
	if err := connect(first, t.Clients); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(readMemory().per(t.Clients, before))
}

// readMemory returns what this process holds when all is quiet.
func readMemory() idleSample {
	time.Sleep(500 * time.Millisecond)
	for range 3 { // pools are empty after two collections
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return idleSample{
		RSS:        float64(readRSS()),
		Heap:       float64(m.HeapInuse),
		Stack:      float64(m.StackInuse),
		Goroutines: float64(runtime.NumGoroutine()),
	}
}

// per divides the growth since before by the number of clients.
func (s idleSample) per(clients int, before idleSample) idleSample {
	n := float64(clients)
	return idleSample{
		RSS:        (s.RSS - before.RSS) / n,
		Heap:       (s.Heap - before.Heap) / n,
		Stack:      (s.Stack - before.Stack) / n,
		Goroutines: (s.Goroutines - before.Goroutines) / n,
	}
}
