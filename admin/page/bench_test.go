package page

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// What a second costs while a page is open: a look at the sessions, for all pages, and a
// document, for each filter.
func BenchmarkTick(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		p := crowd(b, n)
		b.Run(fmt.Sprintf("look/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			last := p.look(time.Now(), nil)
			for b.Loop() {
				last = p.look(time.Now(), last)
			}
		})
		for name, text := range map[string]string{"all": "", "search": "q=lamp-77", "labels": "labels=region%3Deu", "sort": "sort=trip"} {
			b.Run(fmt.Sprintf("document-%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				values, err := url.ParseQuery(text)
				if err != nil {
					b.Fatal(err)
				}
				q, err := parseQuery(values)
				if err != nil {
					b.Fatal(err)
				}
				s := p.look(time.Now(), p.look(time.Now(), nil))
				for b.Loop() {
					clear(s.documents)
					s.document(q)
				}
			})
		}
	}
}

// What a session that comes and goes costs more than without a page.
func BenchmarkComesAndGoes(b *testing.B) {
	p := New()
	s, acceptor := connected(b, p.Option())
	accept(b, acceptor, 0)
	var session *server.Session
	for session = range s.All() {
		break
	}
	b.ReportAllocs()
	for b.Loop() {
		p.recent.connected(session)
		p.recent.disconnected(session, nil)
	}
}

// crowd returns the page of a server that has so many sessions.
func crowd(b *testing.B, n int) *Page {
	b.Helper()
	p := New()
	_, acceptor := connected(b, p.Option())
	for i := range n {
		accept(b, acceptor, i)
	}
	return p
}

func accept(b *testing.B, acceptor tunnel.Acceptor, i int) {
	b.Helper()
	remote := tunnel.Peer{
		Name: fmt.Sprintf("lamp-%d", i*7919%1_000_003), Addr: &net.TCPAddr{IP: net.IPv4(10, 1, byte(i>>8), byte(i)), Port: 1024 + i%60000},
		Labels: map[string]string{"region": []string{"eu", "us", "ap"}[i%3], "site": fmt.Sprint(i % 100)},
	}
	err := acceptor.Accept(remote, func(cfg tunnel.Config) tunnel.Link {
		return &idle{cfg: cfg, trip: time.Duration(i%997) * time.Millisecond, done: make(chan struct{})}
	})
	if err != nil {
		b.Fatal(err)
	}
}

// connected returns a server and what lets sessions in.
func connected(b *testing.B, opts ...server.Option) (*server.Server, tunnel.Acceptor) {
	b.Helper()
	push := server.New(append(opts, server.WithConnectRate(0, 0), server.WithMaxSessions(0))...)
	l, acceptors := bufconn.Listen(1), make(chan tunnel.Acceptor, 1)
	var served sync.WaitGroup
	served.Go(func() { _ = push.Serve(l, entrance(acceptors)) })
	conn, err := l.DialContext(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		push.Close()
		conn.Close()
		served.Wait()
	})
	return push, <-acceptors
}

type entrance chan tunnel.Acceptor

func (entrance) Name() string              { return "entrance" }
func (entrance) Match([]byte) tunnel.Match { return tunnel.MatchYes }

func (e entrance) Serve(ctx context.Context, conn net.Conn, a tunnel.Acceptor) error {
	e <- a
	<-ctx.Done()
	return conn.Close()
}

// idle is a session on which nothing happens.
type idle struct {
	cfg  tunnel.Config
	trip time.Duration
	done chan struct{}
	once sync.Once
	mu   sync.Mutex // stands for those of a real session
}

func (l *idle) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return nil }

func (l *idle) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.ErrUnsupported
}

func (l *idle) Peer() tunnel.Peer           { return l.cfg.Remote }
func (l *idle) InFlight() int               { return 0 }
func (l *idle) RoundTrip() time.Duration    { return l.trip }
func (l *idle) Done() <-chan struct{}       { return l.done }
func (l *idle) Err() error                  { return nil }
func (l *idle) Wait()                       {}
func (l *idle) GoAway(tunnel.GoAway)        {}
func (l *idle) Leave(context.Context) error { return nil }

func (l *idle) Traffic() tunnel.Traffic {
	for range 2 {
		l.mu.Lock()
		l.mu.Unlock() //nolint:staticcheck // that is the cost
	}
	return tunnel.Traffic{Calls: 1, Received: 2, Sent: 3}
}

func (l *idle) Close(error) {
	l.once.Do(func() {
		close(l.done)
		l.cfg.OnEnd()
	})
}
