package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// clientsProcess is the process that holds the clients, as the server process
// sees it. For each line "from count" on its input it connects as many clients
// and then answers with a line "ok". It ends when its input ends.
type clientsProcess struct {
	cmd   *exec.Cmd
	lines io.WriteCloser
	ok    io.Reader
}

func startClients(t task) (*clientsProcess, error) {
	// The parent's own time limit ends this process too: its input ends then.
	cmd, err := roleCommand(context.Background(), roleClients, t)
	if err != nil {
		return nil, err
	}
	lines, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	ok, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &clientsProcess{cmd, lines, ok}, nil
}

// connect returns when the clients are connected, as far as they can tell.
func (p *clientsProcess) connect(from, count int) error {
	if _, err := fmt.Fprintln(p.lines, from, count); err != nil {
		return fmt.Errorf("clients process: %w", err)
	}
	var answer string
	if _, err := fmt.Fscanln(p.ok, &answer); err != nil {
		return fmt.Errorf("clients process: %w", err)
	}
	return nil
}

func (p *clientsProcess) stop() error {
	return errors.Join(p.lines.Close(), p.cmd.Wait())
}

// playClients is the other side of clientsProcess.
func playClients(c contender, t task, lines io.Reader, ok io.Writer) (err error) {
	var ends []*end
	defer func() {
		for _, e := range ends {
			err = errors.Join(err, e.close())
		}
	}()
	for {
		var from, count int
		switch _, err := fmt.Fscanln(lines, &from, &count); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		e, err := c.connect(t.link(), t.Addr, clientNames(from, count))
		if err != nil {
			return err
		}
		ends = append(ends, e)
		if _, err := fmt.Fprintln(ok, "ok"); err != nil {
			return err
		}
	}
}
