//go:build unix

package deploytest

import (
	"bytes"
	"context"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
)

// instructions returns the instructions of the Dockerfile.
func instructions(t *testing.T) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(read(t, "docker/Dockerfile")) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, line)
		}
	}
	return all
}

// buildCommand returns the command with which the Dockerfile builds the program.
func buildCommand(t *testing.T) string {
	t.Helper()
	for _, i := range instructions(t) {
		if command, ok := strings.CutPrefix(i, "RUN "); ok && strings.Contains(command, " -o /pushtunnel ./cmd/pushtunnel") {
			return command
		}
	}
	t.Fatal("the Dockerfile does not build /pushtunnel")
	return ""
}

// The image is built with the Go of go.mod, has no shell, and does not run as root.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(text)[1]
	all := instructions(t)
	for _, want := range []string{
		"FROM --platform=$BUILDPLATFORM golang:" + string(version) + " AS build",
		"FROM gcr.io/distroless/static-debian12:nonroot",
		"COPY --from=build /pushtunnel /pushtunnel",
		"USER 65532:65532",
		"EXPOSE 7420 7421",
		`ENTRYPOINT ["/pushtunnel"]`,
	} {
		if !slices.Contains(all, want) {
			t.Errorf("the Dockerfile has no %q", want)
		}
	}
}

// What is not copied into the build must be in no commit: Go would say that the program
// was built from other files.
func TestDockerIgnoresNoFileOfACommit(t *testing.T) {
	if _, err := os.Stat("../../.git"); err != nil {
		t.Skip("this is no clone")
	}
	patterns, err := os.ReadFile("../../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"ls-files", "--cached", "--ignored"}
	for p := range strings.Lines(string(patterns)) {
		if p = strings.TrimSpace(p); p == "" || p[0] == '#' {
			continue
		}
		if !strings.HasPrefix(p, "**/") {
			p = "/" + p // Docker's are of the top folder, git's of all
		}
		args = append(args, "--exclude="+p)
	}
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	if out, err := cmd.Output(); err != nil || len(out) > 0 {
		t.Errorf("%v: .dockerignore leaves out\n%s", err, out)
	}
}

// display is the client's service.
type display struct{ pb.UnimplementedNotifierServer }

func (display) Notify(context.Context, *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	return &pb.NotifyResponse{Display: "c1"}, nil
}

// connect connects a client "c1" until the test ends.
func connect(t *testing.T, cc *grpc.ClientConn, impl pb.NotifierServer, opts ...client.Option) {
	t.Helper()
	c := client.New(cc, "c1", opts...)
	pb.RegisterNotifierServer(c, impl)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Serve(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// The program needs nothing but itself: it serves a call where there is no other file, as
// nobody, and ends in order.
func TestProgramAlone(t *testing.T) {
	path := program(t)
	if runtime.GOOS == "linux" {
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
			t.Errorf("it needs %q, %v: want a static program", libraries, err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may change its root")
	}
	alone := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/pushtunnel", args...)
		cmd.Path, cmd.Err = "/pushtunnel", nil
		cmd.Dir, cmd.Env = "/", []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: filepath.Dir(path), Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		return cmd
	}
	version, err := alone("version").CombinedOutput()
	if err != nil || !bytes.HasPrefix(version, []byte("pushtunnel ")) {
		t.Fatalf("version: got %q, %v", version, err)
	}
	p := start(t, alone("serve", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--log-format=json"))
	cc, err := grpc.NewClient(p.logged(t, "serving")["addr"].(string), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	connect(t, cc, display{})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "pushtunnel-client", "c1", "pushtunnel-wait-for-ready", "true")
	answer, err := pb.NewNotifierClient(cc).Notify(ctx, &pb.NotifyRequest{})
	if err != nil || answer.GetDisplay() != "c1" {
		t.Errorf("got %v, %v, want the client's answer", answer, err)
	}
	p.terminate(t)
	p.wait(t)
}
