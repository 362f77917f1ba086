package production

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// crowdEnv tells a process that it is the crowd: the address, and how many.
const crowdEnv = "PUSHTUNNEL_CROWD"

// perUndecided is what a connection that has not said what it is may cost the server,
// with half a TLS handshake at most.
const perUndecided = 24 << 10

// Many connections that do not say what they are keep nobody from anything, cost
// little, and are closed in time. The crowd is a process of its own. The clients are
// those of an ordinary port: of gRPC with TLS, direct with TLS, and native.
func TestACrowdThatDoesNotSayWhatItIs(t *testing.T) {
	many := 2_000 // the race detector takes 8,128 goroutines
	if os.Getenv(hostileEnv) != "" && !raceEnabled {
		many = 10_000
	}
	const patience = 15 * time.Second
	f := launchNative(t, onePort, nil, server.WithIdentity(server.TrustClaims), server.WithHandshakeTimeout(patience))
	alone := f.visit(t, "alone")
	runtime.GC()
	before := memory()
	crowd := gather(t, f.addr, many)
	crowd.await(t, "there")
	among := f.visit(t, "among")
	runtime.GC()
	cost := (int64(memory()) - int64(before)) / int64(many) //nolint:gosec // not that large
	var life time.Duration
	if err := json.Unmarshal([]byte(crowd.await(t, "gone")), &life); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d connections: %d bytes each; the last was closed after %v; a client of each kind that came and was called: %v alone, %v among them",
		many, cost, life.Round(time.Millisecond), alone.Round(time.Millisecond), among.Round(time.Millisecond))
	if cost > perUndecided && !raceEnabled {
		t.Errorf("a connection costs %d bytes, want no more than %d", cost, perUndecided)
	}
	if among > patience {
		t.Errorf("three clients took %v among the crowd: they came when it had gone", among)
	}
	f.visit(t, "after")
	wantNone(t, f.Server)
}

// visit lets a client of each kind come, calls it, and lets it go. It returns how
// long that took.
func (f *fleet) visit(t *testing.T, when string) time.Duration {
	t.Helper()
	began := time.Now()
	var all sync.WaitGroup
	for _, way := range ways {
		all.Go(func() {
			name := when + "-" + way
			m := f.come(t, way, name, nil)
			if r, err := pb.NewUserPushApiClient(f.Client(name)).ClientReceive(within(t), &pb.ClientReceiveRequest{Extra: "hello"}); err != nil || r.GetResult() != name+" hello" {
				t.Errorf("a call to %s: %v, %v", name, r, err)
			}
			m.cancel()
			await(t, m.stopped, "end")
		})
	}
	all.Wait()
	return time.Since(began)
}

// wantNone checks that nothing is left of those who have gone.
func wantNone(t *testing.T, push *server.Server) {
	t.Helper()
	for ctx := within(t); ; rest(ctx, 10*time.Millisecond) {
		left := 0
		for range push.All() {
			left++
		}
		if left == 0 {
			return
		}
		if ctx.Err() != nil {
			t.Errorf("got %d sessions, want none", left)
			return
		}
	}
}

// crowdProcess is the crowd, as the server's process sees it.
type crowdProcess struct{ lines *bufio.Scanner }

// gather starts the crowd.
func gather(t *testing.T, addr string, n int) *crowdProcess {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrowd$", "-test.timeout=5m") //nolint:gosec // it is this program
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", crowdEnv, addr, n))
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it has ended
		cmd.Wait()         //nolint:errcheck // as above
	})
	return &crowdProcess{bufio.NewScanner(out)}
}

// await waits until the crowd says a word, and returns what follows it.
func (p *crowdProcess) await(t *testing.T, word string) string {
	t.Helper()
	for p.lines.Scan() {
		if rest, ok := strings.CutPrefix(p.lines.Text(), word); ok {
			return rest
		}
		t.Log("the crowd: " + p.lines.Text())
	}
	t.Fatalf("the crowd has ended before it was %s: %v", word, p.lines.Err())
	return ""
}

// TestCrowd is the process of the crowd. It does nothing unless another test has
// started it.
func TestCrowd(t *testing.T) {
	var addr string
	var n int
	if fmt.Sscan(os.Getenv(crowdEnv), &addr, &n); addr == "" { //nolint:errcheck // then there is no crowd
		t.Skip("TestACrowdThatDoesNotSayWhatItIs starts this in a process of its own")
	}
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 300)
	words := []string{
		"", strings.Repeat("\x00\xff", 20), hello[:3], hello, "PRI * HT",
		string(native.BRPC.Append(nil, native.Head{})[:40]), tunnel.DirectPreface[:4], "slow",
	}
	conns, born := make([]net.Conn, n), make([]time.Time, n)
	var all sync.WaitGroup
	for worker := range 64 {
		all.Go(func() {
			for i := worker; i < n; i += 64 {
				conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				conns[i], born[i] = conn, time.Now()
				if w := words[i%len(words)]; w != "slow" {
					io.WriteString(conn, w) //nolint:errcheck // its end is what counts
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	fmt.Fprintln(os.Stderr, "there")
	ctx, cancel := context.WithCancel(t.Context())
	all.Go(func() { // those that go on, a byte at a time
		preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
		for b := 0; ctx.Err() == nil && b < len(preface)-1; b++ {
			for i := len(words) - 1; i < n; i += len(words) {
				io.WriteString(conns[i], preface[b:b+1]) //nolint:errcheck // as above
			}
			rest(ctx, time.Second)
		}
	})
	var longest time.Duration
	for i, conn := range conns {
		io.Copy(io.Discard, conn) //nolint:errcheck // as above
		longest = max(longest, time.Since(born[i]))
		conn.Close()
	}
	cancel()
	all.Wait()
	text, _ := json.Marshal(longest)
	fmt.Fprintln(os.Stderr, "gone"+string(text))
}
