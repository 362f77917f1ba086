package device

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Command answers by running a shell command for each call. The command reads the
// messages, a line of JSON each, and writes the answers, JSON values. If the schema of a
// method is not known both are the bytes of one message. An exit code other than 0 makes
// the call fail with UNKNOWN, and what the command has written to its standard error.
//
// In its environment are PUSHTUNNEL_CLIENT, PUSHTUNNEL_METHOD and PUSHTUNNEL_CALL, which
// is the call's number. It is killed when the call ends.
type Command string

const maxStderr = 4 << 10

// Answer answers a call.
func (text Command) Answer(c *Call) error {
	cmd := exec.CommandContext(c.Context(), "sh", "-c", string(text)) //nolint:gosec // the user's own command
	cmd.Env = append(os.Environ(), "PUSHTUNNEL_CLIENT="+c.Device.Name, "PUSHTUNNEL_METHOD="+c.Method, fmt.Sprintf("PUSHTUNNEL_CALL=%d", c.Number))
	cmd.WaitDelay = time.Second // for what it has started itself
	var said tail
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return commandError(err, &said)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return commandError(err, &said)
	}
	if err := cmd.Start(); err != nil {
		return commandError(err, &said)
	}
	// It ends at the last message; or, if the command does not wait for that, with the
	// call, which ends when this returns.
	go feed(c, in)
	sent := relay(c, out)
	if sent != nil {
		_ = cmd.Cancel()
	}
	if err := cmd.Wait(); err != nil && sent == nil {
		return commandError(err, &said)
	}
	return sent
}

// feed gives the messages to the command.
func feed(c *Call, in io.WriteCloser) {
	defer in.Close()
	for {
		data, err := c.Receive()
		if err != nil {
			return
		}
		if c.Descriptor != nil {
			data = append(data, '\n')
		}
		if _, err := in.Write(data); err != nil {
			return // it does not want to know
		}
		if c.Descriptor != nil && !c.streamsRequests() {
			return
		}
	}
}

// relay sends what the command writes.
func relay(c *Call, out io.Reader) error {
	if c.Descriptor != nil {
		return sendAll(c, json.NewDecoder(out))
	}
	data, err := io.ReadAll(out)
	if err != nil {
		return status.Errorf(codes.Internal, "pushtunnel: the command's answer: %v", err)
	}
	return c.Send(data)
}

func commandError(err error, said *tail) error {
	text := strings.TrimSpace(string(said.data))
	if text == "" {
		text = err.Error()
	}
	return status.Error(codes.Unknown, strings.ToValidUTF8(text, "\uFFFD"))
}

// tail keeps the end of what is written.
type tail struct{ data []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if n := len(t.data) - maxStderr; n > 0 {
		t.data = bytes.Clone(t.data[n:])
	}
	return len(p), nil
}
