package production

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
)

// hostileEnv asks for TestHostileClients in full: 1,000 attackers, 100,000
// connects and 100 honest clients, and a look at the memory. "make hostile" sets it.
const hostileEnv = "PUSHTUNNEL_HOSTILE"

// The limits of the server under attack. What a session or a connection costs
// besides the messages that it holds is perSession, TLS and HTTP/2 included.
const (
	hostileMemory      = 64 << 20
	hostileSessions    = 1000
	hostileConnections = 1000
	perSession         = 64 << 10
)

// A thousand attackers do what they can, beside a hundred honest clients. No call
// to those fails, nobody gets a name that is not theirs, and the memory stays
// within what the limits say.
func TestHostileClients(t *testing.T) {
	for _, ports := range []layout{twoPorts, onePort} {
		t.Run(string(ports), func(t *testing.T) { testHostileClients(t, ports) })
	}
}

func testHostileClients(t *testing.T, ports layout) {
	attackers, connects, honest := 100, 5_000, 20
	full := os.Getenv(hostileEnv) != ""
	if full {
		attackers, connects, honest = 1_000, 100_000, 100
	}
	var wrong atomic.Int64
	refused, ended := newTally(), newTally()
	f := launchNative(t, ports, []native.Option{native.WithFrameTimeout(2 * time.Second), native.WithIdleTimeout(2 * time.Second)},
		server.WithIdentity(server.CertificateIdentity),
		server.WithMaxMemory(hostileMemory), server.WithMaxQueued(1<<20),
		server.WithMaxSessions(hostileSessions), server.WithMaxSessionsPerSubject(4), server.WithMaxConnections(hostileConnections),
		server.WithHandshakeTimeout(2*time.Second),
		server.WithHooks(server.Hooks{
			Connected: func(s *server.Session) {
				if s.Peer().Subject != s.Name() {
					wrong.Add(1)
				}
			},
			Disconnected: func(_ *server.Session, reason error) { ended.add(string(server.ReasonOf(reason))) },
			Refused: func(_ server.Candidate, reason error) {
				refused.add(status.Code(reason).String())
			},
		}))
	go func() { // the fleet's own hook has no room for so many
		for {
			select {
			case <-f.refused:
			case <-t.Context().Done():
				return
			}
		}
	}()

	var names []string
	for i := range honest {
		way := ways[i%len(ways)]
		name := fmt.Sprintf("honest-%d-%s", i, way)
		f.come(t, way, name, []tls.Certificate{f.ca.Issue(t, name)})
		wantAnswer(t, f.Client(name), name+" hello")
		names = append(names, name)
	}
	runtime.GC() // of the test before
	before := memory()

	// The attackers, in a process of their own.
	ordered := orders{GRPC: f.addr, Native: f.native, Authority: f.ca.PEM(), Connects: connects, Victims: names}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := range attackers {
		var cert []byte
		cert, ordered.Key = pemOf(f.ca.IssueFor(t, key, fmt.Sprint("mallory-", i)))
		ordered.Certificates = append(ordered.Certificates, cert)
	}
	army, reported := enlist(t, ordered)

	// The honest are called all the time, and the attackers too.
	ctx, cancel := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	var calls, pushed atomic.Int64
	for i, name := range names {
		callers.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				extra := "hello"
				if n%10 == 0 {
					extra = strings.Repeat("x", 32<<10)
				}
				call, done := context.WithTimeout(context.WithoutCancel(ctx), 2*long)
				r, err := pb.NewUserPushApiClient(f.Client(name)).ClientReceive(call, &pb.ClientReceiveRequest{Extra: extra})
				done()
				if err != nil || r.GetResult() != name+" "+extra {
					t.Errorf("a call to %s: %v", name, err)
					return
				}
				calls.Add(1)
				rest(ctx, 20*time.Millisecond)
			}
		})
	}
	large := strings.Repeat("x", 256<<10)
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				for s := range f.Sessions() {
					if !strings.HasPrefix(s.Name(), "mallory") {
						continue
					}
					call, done := context.WithTimeout(ctx, 100*time.Millisecond)
					pb.NewUserPushApiClient(s).ClientReceive(call, &pb.ClientReceiveRequest{Extra: large}) //nolint:errcheck // it fails
					done()
					pushed.Add(1)
				}
				rest(ctx, 10*time.Millisecond)
			}
		})
	}
	peak := watchMemory(ctx, &callers)

	// A client that comes during the attack is let in.
	late := f.join(t, "grpc", "late", []tls.Certificate{f.ca.Issue(t, "late")}, client.WithConnectTimeout(long))
	await(t, late.connected, "session of a client that comes during the attack")
	wantAnswer(t, f.Client("late"), "late hello")
	r := army.disband(t, reported)
	cancel()
	callers.Wait()

	if len(r.Stolen) > 0 || wrong.Load() > 0 {
		t.Errorf("stolen are %d names, %.200q; %d sessions have a name that is not theirs", len(r.Stolen), r.Stolen, wrong.Load())
	}
	if r.Connects < int64(connects) {
		t.Errorf("there were %d connects, want %d", r.Connects, connects)
	}
	for _, a := range attacks {
		if r.Attacks[a.name] == 0 {
			t.Errorf("nobody has tried: %s", a.name)
		}
	}
	for _, name := range names {
		if n := len(slices.Collect(f.Sessions(name))); n != 1 {
			t.Errorf("%s has %d sessions at the end, want the one that it had", name, n)
		}
	}
	// What was held is given back, whatever way it ended.
	f.Close()
	held, limit := f.Memory()
	for ctx := within(t); held != 0 && ctx.Err() == nil; held, _ = f.Memory() {
		rest(ctx, time.Millisecond) // handlers of native calls may outlive Close
	}
	if held != 0 || limit != hostileMemory {
		t.Errorf("%d bytes of %d are taken when the server is closed", held, limit)
	}
	used, bound := peak()-before, uint64(hostileMemory+(hostileSessions+hostileConnections)*perSession)
	t.Logf("%d calls to the honest, none failed; %d pushes to attackers; attacks %v; refused %v; ended %v; memory %d MiB above %d MiB, bound %d MiB",
		calls.Load(), pushed.Load(), r.Attacks, refused, ended, int64(used)>>20, before>>20, bound>>20) //nolint:gosec // it may have shrunk
	if full && !raceEnabled && used > bound && peak() > before {
		t.Errorf("the memory has grown by %d MiB, want %d MiB at most", used>>20, bound>>20)
	}
}

// process is the attackers'.
type process struct {
	cmd   *exec.Cmd
	stdin interface{ Close() error }
	out   *bytes.Buffer
}

// enlist starts the attackers.
func enlist(t *testing.T, o orders) (*process, *bytes.Buffer) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{out: &bytes.Buffer{}}
	report := &bytes.Buffer{}
	p.cmd = exec.Command(os.Args[0], "-test.run=^TestAttackers$", "-test.timeout=10m") //nolint:gosec // it is this program
	p.cmd.Env = append(os.Environ(), attackEnv+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p.out, report
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.Write(text); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() }) //nolint:errcheck // it has ended
	return p, report
}

// disband lets the attackers make their connects, and returns what they have done.
func (p *process) disband(t *testing.T, report *bytes.Buffer) (r struct {
	Connects int64
	Attacks  map[string]int64
	Stolen   []string
},
) {
	t.Helper()
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the attackers: %v\n%.4000s%.4000s", err, p.out, report)
	}
	if err := json.Unmarshal(report.Bytes(), &r); err != nil {
		t.Fatalf("the attackers have reported %.400q: %v", report, err)
	}
	return r
}

// memory returns the bytes of the live heap and of stacks.
func memory() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64()
}

// watchMemory looks at the memory until ctx ends. The function that it returns
// tells the most that it has seen.
func watchMemory(ctx context.Context, running *sync.WaitGroup) (peak func() uint64) {
	var most atomic.Uint64
	running.Go(func() {
		for ctx.Err() == nil {
			most.Store(max(most.Load(), memory()))
			rest(ctx, 20*time.Millisecond)
		}
	})
	return most.Load
}

// tally counts by name.
type tally struct {
	mu    sync.Mutex
	count map[string]int
}

func newTally() *tally { return &tally{count: make(map[string]int)} }

func (t *tally) add(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count[what]++
}

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprint(t.count)
}
