package page_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/admin/page"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// world is a server with a page, and a browser's connections to it, in memory. Its
// sessions have no connections: a protocol that the test plays lets them in. All of it
// can be in a bubble.
type world struct {
	t        testing.TB
	page     *page.Page
	push     *server.Server
	acceptor tunnel.Acceptor
	web      *bufconn.Listener
	client   *http.Client
}

func newWorld(t testing.TB, opts []page.Option, serverOpts ...server.Option) *world {
	t.Helper()
	w := &world{t: t, page: page.New(opts...), web: bufconn.Listen(1 << 10)}
	w.push = server.New(append([]server.Option{w.page.Option(), server.WithConnectRate(0, 0), server.WithMaxSessions(0), server.WithMaxSessionsPerName(0)}, serverOpts...)...)
	raw, acceptors := bufconn.Listen(1), make(chan tunnel.Acceptor, 1)
	var served sync.WaitGroup
	served.Go(func() { _ = w.push.Serve(raw, door(acceptors)) })
	conn, err := raw.DialContext(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.acceptor = <-acceptors
	h := &http.Server{Handler: w.page, ReadHeaderTimeout: time.Second}
	served.Go(func() { _ = h.Serve(w.web) })
	w.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return w.web.DialContext(ctx) },
	}}
	t.Cleanup(func() {
		if err := w.push.Close(); err != nil {
			t.Error(err)
		}
		w.client.CloseIdleConnections()
		_ = h.Close()
		w.page.Close()
		conn.Close()
		served.Wait()
	})
	return w
}

// door is a protocol that hands out its acceptor.
type door chan tunnel.Acceptor

func (door) Name() string              { return "door" }
func (door) Match([]byte) tunnel.Match { return tunnel.MatchYes }

func (d door) Serve(ctx context.Context, conn net.Conn, a tunnel.Acceptor) error {
	d <- a
	<-ctx.Done()
	return conn.Close()
}

// link is a session without a connection.
type link struct {
	cfg  tunnel.Config
	done chan struct{}
	once sync.Once
	err  error // when done is closed

	inFlight              atomic.Int64
	trip                  atomic.Int64
	calls, received, sent atomic.Uint64
}

func (l *link) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return nil }

func (l *link) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.ErrUnsupported
}

func (l *link) Peer() tunnel.Peer           { return l.cfg.Remote }
func (l *link) InFlight() int               { return int(l.inFlight.Load()) }
func (l *link) RoundTrip() time.Duration    { return time.Duration(l.trip.Load()) }
func (l *link) Done() <-chan struct{}       { return l.done }
func (l *link) Err() error                  { return l.err }
func (l *link) Wait()                       {}
func (l *link) GoAway(tunnel.GoAway)        { l.Close(nil) }
func (l *link) Leave(context.Context) error { l.Close(nil); return nil }

func (l *link) Traffic() tunnel.Traffic {
	return tunnel.Traffic{Calls: l.calls.Load(), Received: l.received.Load(), Sent: l.sent.Load()}
}

func (l *link) Close(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.done)
		l.cfg.OnEnd()
	})
}

// enter lets in a session.
func (w *world) enter(remote tunnel.Peer) *link {
	w.t.Helper()
	l := &link{done: make(chan struct{})}
	if err := w.acceptor.Accept(remote, func(cfg tunnel.Config) tunnel.Link { l.cfg = cfg; return l }); err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (w *world) named(name string) *link { return w.enter(tunnel.Peer{Name: name}) }

// get asks for a path. change may change the request.
func (w *world) get(path string, change func(*http.Request)) *http.Response {
	w.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://127.0.0.1"+path, http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	answer, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// document is what the tests look at of a document.
type document struct {
	Rates  bool
	Totals struct {
		Sessions, Ending, Names, Waiting, InFlight                     int
		Calls, Errors, Received, Sent, Connects, Disconnects, Refusals float64
		Trips                                                          struct {
			Sessions           int
			P50, P90, P99, Max float64
		}
		Protocols, Namespaces []struct {
			Value    string
			Sessions int
		}
	}
	Matched int
	Rows    []struct {
		N                                  uint64
		Name, Namespace, Session, Protocol string
		Subject, Address                   string
		Labels                             [][2]string
		More, InFlight                     int
		Calls, Received, Sent, Trip        float64
	}
	Methods []struct {
		Name          string
		InFlight      int
		Calls, Errors float64
	}
	Ends, Refusals []struct {
		N                                                int
		Name, Namespace, Protocol, Session, Reason, Text string
		Lasted                                           int
	}
}

func (d *document) names() []string {
	names := make([]string, len(d.Rows))
	for i, r := range d.Rows {
		names[i] = r.Name
	}
	return names
}

// live is a stream that is open.
type live struct {
	t       testing.TB
	close   func()
	scanner *bufio.Scanner
	raw     string // the last document
}

// open opens a stream. It ends with the test, if not before.
func (w *world) open(query string) *live {
	w.t.Helper()
	r := w.get("/live?"+query, nil)
	if got := r.Header.Get("Content-Type"); r.StatusCode != http.StatusOK || got != "text/event-stream" {
		w.t.Fatalf("got %s and %q, want a stream", r.Status, got)
	}
	l := &live{t: w.t, close: func() { r.Body.Close() }, scanner: bufio.NewScanner(r.Body)}
	l.scanner.Buffer(nil, 1<<20)
	w.t.Cleanup(l.close)
	return l
}

// next returns the next document.
func (l *live) next() *document {
	l.t.Helper()
	for l.scanner.Scan() {
		data, ok := strings.CutPrefix(l.scanner.Text(), "data: ")
		if !ok {
			continue
		}
		l.raw = data
		d := new(document)
		if err := json.Unmarshal([]byte(data), d); err != nil {
			l.t.Fatal(err)
		}
		return d
	}
	l.t.Fatalf("the stream has ended: %v", l.scanner.Err())
	return nil
}

// once returns the first document for a query.
func (w *world) once(query string) *document {
	w.t.Helper()
	l := w.open(query)
	defer l.close()
	return l.next()
}
