package pythonpeer

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/grpclog"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// pythonEnv names the Python of an environment that has what the client requires.
const pythonEnv = "PUSHTUNNEL_PYTHON"

const (
	clientDir = "../../examples/python-client"
	peerDir   = "python"
)

// fatal is what a fatal log line of gRPC's becomes: its interop functions end
// the process where they mean to fail a test.
type fatal string

type panicLogger struct{ grpclog.LoggerV2 }

func (panicLogger) Fatal(args ...any)                 { panic(fatal(fmt.Sprint(args...))) }
func (panicLogger) Fatalln(args ...any)               { panic(fatal(fmt.Sprintln(args...))) }
func (panicLogger) Fatalf(format string, args ...any) { panic(fatal(fmt.Sprintf(format, args...))) }

// pythonPath is where the peers find their modules. TestMain sets it.
var pythonPath string

func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(panicLogger{grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)})
	os.Exit(run(m))
}

func run(m *testing.M) int {
	python := os.Getenv(pythonEnv)
	if python == "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "pythonpeer")
	if err == nil {
		defer os.RemoveAll(dir)
		err = generate(python, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	pythonPath = strings.Join([]string{dir, clientDir, filepath.Join(clientDir, "generated")}, string(os.PathListSeparator))
	return m.Run()
}

// generate makes Python code for gRPC's test service from the descriptors in the Go
// code. Its files get other names: as grpc/testing they would hide Python's grpc.
func generate(python, dir string) error {
	var set descriptorpb.FileDescriptorSet
	names := addFile(&set, testgrpc.File_grpc_testing_test_proto)
	data, err := proto.Marshal(&set)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "interop.binpb")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return err
	}
	args := append([]string{
		"-m", "grpc_tools.protoc", "--descriptor_set_in=" + file,
		"--python_out=" + dir, "--grpc_python_out=" + dir,
	}, names...)
	if out, err := exec.Command(python, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", python, args, err, out)
	}
	return nil
}

// addFile adds f after what it imports, and returns the names of all of them.
func addFile(set *descriptorpb.FileDescriptorSet, f protoreflect.FileDescriptor) []string {
	var names []string
	file := protodesc.ToFileDescriptorProto(f)
	file.Name = new(newName(f.Path()))
	for i := range f.Imports().Len() {
		imported := f.Imports().Get(i)
		names = append(names, addFile(set, imported)...)
		file.Dependency[i] = newName(imported.Path())
	}
	for _, have := range set.GetFile() {
		if have.GetName() == file.GetName() {
			return names
		}
	}
	set.File = append(set.File, file)
	return append(names, file.GetName())
}

func newName(path string) string {
	return "interop_" + path[strings.LastIndex(path, "/")+1:]
}
