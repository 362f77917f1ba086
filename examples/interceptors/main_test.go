package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

// buffer is a bytes.Buffer that both ends write to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// What the program prints is what its interceptors are for.
func TestRun(t *testing.T) {
	out := &buffer{}
	if err := run(t.Context(), out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	rest := out.String()
	for _, want := range []string{
		"# A push, logged",
		`msg="push served" end=client client=kitchen code=OK`,
		`msg="push ended" end=server client=kitchen code=OK outcome=answered`,
		"=> shown by kitchen\n",
		"# The cook",
		"=> PermissionDenied, not sent\n",
		"# The kitchen has a bug",
		`msg="the handler has panicked" end=client`,
		"=> Internal, answered\n",
		"# 2 pushes a second",
		"=> ResourceExhausted, not sent, limit push_rate_per_client\n",
		"# The kitchen is away",
		"=> shown by kitchen\n",
		"# The session is lost",
		"=> shown by kitchen\n=> times shown: 1\n",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("%q was not printed in its place:\n%s", want, out.String())
		}
		rest = after
	}
}
