package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/device"
	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/load"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

type benchCommand struct {
	Clients   int           `short:"c" default:"10" help:"How many clients connect."`
	Callers   int           `short:"p" default:"10" help:"How many callers call, one call after the other each."`
	Payload   int           `default:"100" help:"How many bytes a request has. The answer is empty."`
	Duration  time.Duration `short:"d" default:"10s" help:"How long."`
	Name      string        `help:"The name that all the clients have. Default: one that nobody else has."`
	Namespace string        `short:"n" env:"PUSHTUNNEL_NAMESPACE" help:"The clients' namespace."`
	Direct    bool          `help:"Clients use the direct transport."`
	JSON      bool          `help:"Print JSON, as it does when nobody looks at a terminal."`

	ClientToken string `env:"PUSHTUNNEL_CLIENT_TOKEN" placeholder:"TOKEN" help:"The bearer token of the clients; --token is the callers'." group:"Server"`
	target      `embed:""`
}

// Help is what --help adds.
func (benchCommand) Help() string {
	return `Clients and callers are in this process, which takes its share of the machine's time: for what the server can do,
run it on another machine. The clients have one name, and the server's picker chooses among them.`
}

// benchConns is how many connections callers share.
const benchConns = 8

// Run loads a server.
func (b *benchCommand) Run(ctx context.Context, std Streams) error {
	if b.Clients < 1 || b.Callers < 1 || b.Payload < 0 || b.Duration <= 0 {
		return usage(errors.New("--clients, --callers and --duration must be above zero, and --payload not below"))
	}
	name := b.Name
	if name == "" {
		name = "bench-" + strings.ToLower(rand.Text()[:10])
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := b.reach(ctx); err != nil {
		return err
	}
	leave, err := b.connect(ctx, name)
	defer leave()
	if err != nil {
		return err
	}
	r, err := b.drive(ctx, std, name)
	if err != nil {
		return err
	}
	if b.JSON || !std.terminal() {
		err = json.NewEncoder(std.Out).Encode(b.report(r))
	} else {
		benchText(std.Out, r)
	}
	return errors.Join(err, failure(r))
}

// reach reports why the server cannot be reached. Clients would go on trying.
func (b *benchCommand) reach(ctx context.Context) error {
	cc, stop, err := b.caller()
	if err != nil {
		return err
	}
	defer stop()
	_, err = healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
	if status.Code(err) == codes.Unavailable {
		return asCall(err)
	}
	return nil // it has answered
}

// connect connects the clients. leave, which is never nil, disconnects them.
func (b *benchCommand) connect(ctx context.Context, name string) (leave func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	connected, failed := make(chan struct{}, b.Clients), make(chan error, 1)
	var running sync.WaitGroup
	var stops []func()
	leave = func() {
		cancel()
		running.Wait()
		for _, stop := range stops {
			stop()
		}
	}
	// A client that has to wait for the server's limits comes later; any other that
	// can't connect ends it.
	fail := func(err error) {
		if status.Code(err) != codes.ResourceExhausted {
			select {
			case failed <- err:
			default:
			}
		}
	}
	t := b.target
	t.Token, t.TokenFile = b.ClientToken, ""
	token, err := t.bearer()
	if err != nil {
		return leave, err
	}
	tlsConfig, stop, err := t.tls()
	if err != nil {
		return leave, err
	}
	stops = append(stops, stop)
	for range b.Clients {
		cc, err := t.dial(tlsConfig)
		if err != nil {
			return leave, err
		}
		stops = append(stops, func() { _ = cc.Close() })
		var once sync.Once
		opts := []client.Option{
			client.WithNamespace(b.Namespace), client.WithUnknownServiceHandler((&device.Device{Name: name}).Handle),
			client.WithHooks(client.Hooks{
				Connected: func(tunnel.Peer) { once.Do(func() { connected <- struct{}{} }) },
				Retry:     func(err error, _ time.Duration) { fail(err) },
			}),
		}
		if token != nil {
			opts = append(opts, client.WithCallOptions(grpc.PerRPCCredentials(token)))
		}
		if b.Direct {
			opts = append(opts, client.WithDirect(b.Server, tlsConfig))
		}
		running.Go(func() { fail(client.New(cc, name, opts...).Serve(ctx)) })
	}
	for range b.Clients {
		select {
		case <-connected:
		case err := <-failed:
			return leave, asCall(err)
		}
	}
	return leave, nil
}

// drive makes the calls.
func (b *benchCommand) drive(ctx context.Context, std Streams, name string) (*load.Result, error) {
	conns := make([]*grpc.ClientConn, min(b.Callers, benchConns))
	for i := range conns {
		cc, stop, err := b.caller()
		if err != nil {
			return nil, err
		}
		defer stop()
		conns[i] = cc
	}
	request := new(emptypb.Empty)
	if b.Payload > 0 {
		request.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), make([]byte, b.Payload)))
	}
	pairs := []string{sendable(gateway.ClientKey, name), name}
	if b.Namespace != "" {
		pairs = append(pairs, sendable(gateway.NamespaceKey, b.Namespace), b.Namespace)
	}
	call := func(ctx context.Context, caller int) error {
		ctx = metadata.AppendToOutgoingContext(ctx, pairs...)
		return conns[caller%len(conns)].Invoke(ctx, "/pushtunnel.bench.v1.Bench/Take", request, new(emptypb.Empty))
	}
	if err := call(ctx, 0); err != nil {
		return nil, asCall(err) // rather than as many errors as there is time for
	}
	// The calls have no deadline: one would fail them a moment before ctx ends.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(b.Duration, cancel).Stop()
	var done atomic.Int64
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		if std.terminal() {
			progress(ctx, std.Err, b.Duration, &done)
		}
	}()
	r := load.Drive(ctx, b.Callers, call, &done)
	cancel()
	<-watching
	return r, nil
}

// progress shows how far it is, until ctx ends.
func progress(ctx context.Context, out io.Writer, whole time.Duration, done *atomic.Int64) {
	const width = 30
	begin, last := time.Now(), int64(0)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer fmt.Fprint(out, "\r\x1b[K")
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n, share := done.Load(), min(1, time.Since(begin).Seconds()/whole.Seconds())
		filled := int(share * width)
		fmt.Fprintf(out, "\r[%s%s] %3.0f %%, %d calls/s", strings.Repeat("#", filled), strings.Repeat(" ", width-filled), 100*share, n-last)
		last = n
	}
}

// failure is the error of a run in which calls have failed: that of the most.
func failure(r *load.Result) error {
	if r.Errors() == 0 {
		return nil
	}
	most := slices.MaxFunc(slices.Sorted(maps.Keys(r.Failed)), func(a, b codes.Code) int { return int(r.Failed[a] - r.Failed[b]) })
	return &callError{status: status.Newf(most, "%d of %d calls have failed", r.Errors(), r.Errors()+r.Calls.Count())}
}

// benchReport is the result as JSON. Times are in microseconds.
type benchReport struct {
	Clients  int              `json:"clients"`
	Callers  int              `json:"callers"`
	Payload  int              `json:"payload"`
	Seconds  float64          `json:"seconds"`
	Calls    int64            `json:"calls"`
	Rate     float64          `json:"calls_per_second"`
	Failed   map[string]int64 `json:"failed"`
	Mean     int64            `json:"mean_us"`
	P50      int64            `json:"p50_us"`
	P90      int64            `json:"p90_us"`
	P99      int64            `json:"p99_us"`
	P999     int64            `json:"p999_us"`
	Max      int64            `json:"max_us"`
	Latency  []benchBand      `json:"latency"`
	Transfer float64          `json:"mib_per_second"`
}

type benchBand struct {
	UpTo  int64 `json:"up_to_us"`
	Count int64 `json:"count"`
}

func (b *benchCommand) report(r *load.Result) benchReport {
	h := &r.Calls
	us := func(q float64) int64 { return h.Quantile(q).Microseconds() }
	report := benchReport{
		Clients: b.Clients, Callers: b.Callers, Payload: b.Payload, Seconds: r.Took.Seconds(), Calls: h.Count(), Rate: r.Rate(),
		Failed: make(map[string]int64), Mean: h.Mean().Microseconds(), P50: us(0.5), P90: us(0.9), P99: us(0.99), P999: us(0.999),
		Max: h.Max().Microseconds(), Transfer: r.Rate() * float64(b.Payload) / (1 << 20),
	}
	for c, n := range r.Failed {
		report.Failed[codeName(c)] = n
	}
	for _, band := range h.Bands() {
		report.Latency = append(report.Latency, benchBand{UpTo: band.UpTo.Microseconds(), Count: band.Count})
	}
	return report
}

// benchText prints the result for people.
func benchText(out io.Writer, r *load.Result) {
	h := &r.Calls
	fmt.Fprintf(out, "%d calls in %v: %.0f a second\n", h.Count(), rounded(r.Took), r.Rate())
	for _, c := range slices.Sorted(maps.Keys(r.Failed)) {
		fmt.Fprintf(out, "%d failed with %s\n", r.Failed[c], codeName(c))
	}
	fmt.Fprintf(out, "mean %s, p50 %s, p90 %s, p99 %s, p99.9 %s, max %s\n", rounded(h.Mean()),
		rounded(h.Quantile(0.5)), rounded(h.Quantile(0.9)), rounded(h.Quantile(0.99)), rounded(h.Quantile(0.999)), rounded(h.Max()))
	most := int64(1)
	for _, b := range h.Bands() {
		most = max(most, b.Count)
	}
	for _, b := range h.Bands() {
		fmt.Fprintf(out, "%10s %8d %s\n", "< "+rounded(b.UpTo+1), b.Count, strings.Repeat("#", int(40*b.Count/most)))
	}
}
