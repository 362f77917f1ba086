package javapeer

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/internal/javapeer/interoppb"
)

// The comparison with brpc-java itself: run by "make bench-java". Server and client
// are processes of their own in all pairs.
const (
	benchEnv   = "PUSHTUNNEL_BENCH_JAVA"
	clientEnv  = "PUSHTUNNEL_BENCH_CLIENT" // a child: "kind addr"
	benchBytes = 100
	benchRound = 2 // seconds
	benchCount = 3 // rounds
)

// TestMain lets the test binary be a client.
func TestMain(m *testing.M) {
	if child := os.Getenv(clientEnv); child != "" {
		kind, addr, _ := strings.Cut(child, " ")
		if err := benchClient(kind, addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// benchClient serves pushes until its input ends.
func benchClient(kind, addr string) error {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if kind == "raw" {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		return rawEcho(c)
	}
	c := client.NewDialer(endpoint(addr), "c1")
	pb.RegisterPushApiServer(c, &benchApi{})
	return c.Serve(context.Background())
}

type benchApi struct{ pushApi }

func startBenchClient(t testing.TB, kind, addr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), clientEnv+"="+kind+" "+addr)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
}

// rates are pushes per second and the median latency.
type rates struct {
	perSecond float64
	p50       time.Duration
}

// drive calls from so many goroutines for a while.
func drive(t testing.TB, callers int, call func() error) rates {
	t.Helper()
	var wg sync.WaitGroup
	latencies := make([][]time.Duration, callers)
	var stop atomic.Bool
	began := time.Now()
	timer := time.AfterFunc(benchRound*time.Second, func() { stop.Store(true) })
	defer timer.Stop()
	for i := range callers {
		wg.Go(func() {
			for !stop.Load() {
				at := time.Now()
				if err := call(); err != nil {
					t.Error(err)
					return
				}
				latencies[i] = append(latencies[i], time.Since(at))
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	all := slices.Concat(latencies...)
	slices.Sort(all)
	if len(all) == 0 {
		return rates{}
	}
	return rates{float64(len(all)) / took.Seconds(), all[len(all)/2]}
}

// pair is a server and its client.
type pair struct {
	name string
	run  func(callers int) rates
}

func TestBench(t *testing.T) {
	if os.Getenv(benchEnv) == "" {
		t.Skip("run make bench-java")
	}
	version := Versions(t)[0]
	text := strings.Repeat("x", benchBytes)

	js := StartServer(t, version, 60, 0)
	StartClient(t, version, Client{Addr: js.Addr, Name: "c1", WorkThreads: -1})
	javaJava := func(callers int) rates {
		out, err := js.Do(t.Context(), "bench", "c1", callers, benchRound, benchBytes)
		if err != nil {
			t.Fatal(err)
		}
		var r rates
		var us, failed int
		if _, err := fmt.Sscan(out, &r.perSecond, &us, &failed); err != nil || failed > 0 {
			t.Fatalf("%s: %v", out, err)
		}
		r.p50 = time.Duration(us) * time.Microsecond
		return r
	}
	goWith := func(start func(addr string)) func(int) rates {
		g := startGoServer(t)
		start(g.addr)
		await(t, g.came, "client")
		stub := g.push("c1")
		return func(callers int) rates {
			return drive(t, callers, func() error {
				_, err := stub.PushHi(t.Context(), &pb.TextRequest{Text: text})
				return err
			})
		}
	}
	pairs := []pair{
		{"brpc-java " + version + " to itself", javaJava},
		{"Go to brpc-java", goWith(func(addr string) {
			StartClient(t, version, Client{Addr: addr, Name: "c1", WorkThreads: -1})
		})},
		{"Go to Go, native protocol", goWith(func(addr string) { startBenchClient(t, "go", addr) })},
		{"Go to Go, raw frames", rawPair(t, text)},
	}
	for _, callers := range []int{64, 1} {
		for _, p := range pairs {
			p.run(callers) // the JVM compiles what runs often
		}
		results := make([][]rates, len(pairs))
		for range benchCount {
			for i, p := range pairs {
				results[i] = append(results[i], p.run(callers))
			}
		}
		report(t, callers, pairs, results)
	}
}

// report prints a table. Ratios are of the same round.
func report(t *testing.T, callers int, pairs []pair, results [][]rates) {
	t.Helper()
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d callers, 1 client, %d B\tpushes/s\tp50\t× brpc-java\t× raw frames\t\n", callers, benchBytes)
	for i, p := range pairs {
		var rate, toJava, toRaw []float64
		var p50 []time.Duration
		for r := range results[i] {
			rate = append(rate, results[i][r].perSecond)
			p50 = append(p50, results[i][r].p50)
			toJava = append(toJava, results[i][r].perSecond/results[0][r].perSecond)
			toRaw = append(toRaw, results[i][r].perSecond/results[len(pairs)-1][r].perSecond)
		}
		slices.Sort(p50)
		fmt.Fprintf(w, "%s\t%.0f\t%v\t%.2f\t%.2f\t\n", p.name, median(rate), p50[len(p50)/2].Round(time.Microsecond), median(toJava), median(toRaw))
	}
	w.Flush()
	fmt.Printf("%s(medians of %d rounds of %d s)\n\n", out.String(), benchCount, benchRound)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// rawPair is frames with a head of 48 bytes and nothing else: the limit.
func rawPair(t *testing.T, text string) func(int) rates {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	startBenchClient(t, "raw", l.Addr().String())
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	r := newRaw(c)
	go r.read()
	return func(callers int) rates {
		return drive(t, callers, func() error { return r.call(text) })
	}
}

// raw is the calling end of raw frames.
type raw struct {
	net.Conn
	out     chan []byte
	mu      sync.Mutex
	pending map[uint64]chan struct{}
	last    uint64
}

func newRaw(c net.Conn) *raw {
	r := &raw{Conn: c, out: make(chan []byte, 256), pending: make(map[uint64]chan struct{})}
	go rawWrite(c, r.out)
	return r
}

func (r *raw) call(text string) error {
	answer := make(chan struct{}, 1)
	r.mu.Lock()
	r.last++
	id := r.last
	r.pending[id] = answer
	r.mu.Unlock()
	b := make([]byte, 48, 48+len(text))
	binary.LittleEndian.PutUint64(b[12:], id)
	binary.LittleEndian.PutUint32(b[44:], uint32(len(text)))
	r.out <- append(b, text...)
	<-answer
	return nil
}

func (r *raw) read() {
	rawRead(r, func(head, _ []byte) {
		id := binary.LittleEndian.Uint64(head[12:])
		r.mu.Lock()
		answer := r.pending[id]
		delete(r.pending, id)
		r.mu.Unlock()
		answer <- struct{}{}
	})
}

// rawEcho answers each frame with itself.
func rawEcho(c net.Conn) error {
	out := make(chan []byte, 256)
	go rawWrite(c, out)
	return rawRead(c, func(head, body []byte) { out <- slices.Concat(head, body) })
}
