package conformance

import (
	"fmt"
	"io"
	"os"
	"testing"

	"google.golang.org/grpc/grpclog"
)

// fatal is what a fatal log line of gRPC's becomes: its interop functions end
// the process where they mean to fail a test.
type fatal string

type panicLogger struct{ grpclog.LoggerV2 }

func (panicLogger) Fatal(args ...any)                 { panic(fatal(fmt.Sprint(args...))) }
func (panicLogger) Fatalln(args ...any)               { panic(fatal(fmt.Sprintln(args...))) }
func (panicLogger) Fatalf(format string, args ...any) { panic(fatal(fmt.Sprintf(format, args...))) }

func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(panicLogger{grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)})
	os.Exit(m.Run())
}
