package cli_test

import (
	"fmt"
	"os"
	"testing"
)

// The socket may be one without a file.
func TestServiceManagerOfAbstractName(t *testing.T) {
	next := manager(t, fmt.Sprintf("@pushtunnel-test-%d", os.Getpid()))
	p, _ := serve(t)
	p.stop()
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		if got := next(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
