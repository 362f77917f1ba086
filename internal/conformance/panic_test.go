package conformance

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// panicEnv says, in a process of its own, by which way a handler is to panic.
const panicEnv = "PUSHTUNNEL_CONFORMANCE_PANIC"

const panicText = "on purpose, in a handler"

func panicking(*transcript) handlers {
	return handlers{
		unary:  func(context.Context, *message) (*message, error) { panic(panicText) },
		stream: func(*served) error { panic(panicText) },
	}
}

// TestPanicEndsTheProcess: nobody catches a handler's panic, as in grpc-go.
func TestPanicEndsTheProcess(t *testing.T) {
	if name := os.Getenv(panicEnv); name != "" {
		way, method, _ := strings.Cut(name, " ")
		for _, w := range allWays {
			if w.name == way {
				panicOver(t, w, method)
			}
		}
		return
	}
	for _, w := range allWays {
		for _, method := range methods {
			t.Run(w.name+" "+method, func(t *testing.T) {
				t.Parallel()
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPanicEndsTheProcess$")
				cmd.Env = append(os.Environ(), panicEnv+"="+w.name+" "+method)
				out, err := cmd.CombinedOutput()
				if err == nil || !strings.Contains(string(out), "panic: "+panicText) {
					t.Errorf("a process whose handler panics: got %v and the output\n%s\nwant a panic", err, out)
				}
			})
		}
	}
}

func panicOver(t *testing.T, w way, method string) {
	t.Helper()
	cc := w.connect(t, setup{}, func(r grpc.ServiceRegistrar) { panicking(nil).register(r, nil) })
	s, err := cc.NewStream(t.Context(), descs[method], method)
	if err != nil {
		t.Fatal(err)
	}
	s.SendMsg(text("a"))
	t.Logf("got the answer %v, want none", s.RecvMsg(&message{}))
}

// TestRecovery: the recovery interceptors of go-grpc-middleware make an answer of
// a panic, and the session goes on.
func TestRecovery(t *testing.T) {
	// By default the interceptors answer UNKNOWN and tell the caller the stack.
	internal := recovery.WithRecoveryHandler(func(p any) error { return status.Errorf(codes.Internal, "%v", p) })
	compare(t, map[string]scenario{"of a panic": {
		setup: setup{
			unaryHandler:  []grpc.UnaryServerInterceptor{recovery.UnaryServerInterceptor(internal)},
			streamHandler: []grpc.StreamServerInterceptor{recovery.StreamServerInterceptor(internal)},
		},
		build: panicking,
		call: func(ctx context.Context, c *call) {
			for range 3 {
				c.unary(ctx, text("a"))
				c.open(ctx, bidiMethod).finish()
				synctest.Wait()
			}
		},
		want: "Internal",
	}})
}
