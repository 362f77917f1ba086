package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"time"

	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// names measures the registry with more and more names in it: sessions without
// connections, which answer at once. So the time of a call is the server's own. A map
// of the same names shows how much of it is that they no longer fit into the caches.
func (g *growth) names() (_ []*curve, err error) {
	call := newCurve("names-call", "a call against names", "names in the registry", "ns per call, without the session's part", flat)
	enter := newCurve("names-enter", "a session that comes against names", "names in the registry", "ns per session", flat)
	leave := newCurve("names-leave", "a session that goes against names", "names in the registry", "ns per session", flat)
	list := newCurve("names-list", "a list of all sessions", "names in the registry", "ms", linear)
	memory := newCurve("names-memory", "memory of a name", "names in the registry", "bytes per name, without the session's part", flat)
	r, err := newFilledRegistry()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	empty := heapInUse()
	for _, n := range powers(100, 100*g.most, 10) {
		g.say("%d names", n)
		took, err := r.fill(n)
		if err != nil {
			return nil, err
		}
		enter.add(registryName, n, took)
		memory.add(registryName, n, (heapInUse()-empty)/float64(n))
		if took, err = r.call(); err != nil {
			return nil, err
		}
		call.add(registryName, n, took)
		call.add(mapName, n, r.lookup())
		if took, err = r.list(); err != nil {
			return nil, err
		}
		list.add(registryName, n, took)
		leave.add(registryName, n, r.remove())
	}
	return []*curve{call, enter, leave, list, memory}, nil
}

// The names of the lines.
const (
	registryName = "server"
	mapName      = "a map alone"
)

// heapInUse is the heap without what can be collected.
func heapInUse() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// filledRegistry is a server with sessions that have no connections. To bring them
// in it is a protocol of its own, with one connection.
type filledRegistry struct {
	server   *server.Server
	served   chan error
	acceptor chan tunnel.Acceptor
	accept   tunnel.Acceptor
	conn     net.Conn
	names    []string
	links    []*deadLink // of the names that are in
}

func newFilledRegistry() (*filledRegistry, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &filledRegistry{server: server.New(), served: make(chan error, 1), acceptor: make(chan tunnel.Acceptor, 1)}
	go func() { r.served <- r.server.Serve(l, r) }()
	if r.conn, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, errors.Join(err, r.server.Close(), <-r.served)
	}
	r.accept = <-r.acceptor
	return r, nil
}

func (r *filledRegistry) close() error {
	return errors.Join(r.server.Close(), <-r.served, r.conn.Close())
}

// Name, Match and Serve make it a tunnel.Protocol.
func (r *filledRegistry) Name() string              { return "bench" }
func (r *filledRegistry) Match([]byte) tunnel.Match { return tunnel.MatchYes }

func (r *filledRegistry) Serve(ctx context.Context, conn net.Conn, a tunnel.Acceptor) error {
	r.acceptor <- a
	<-ctx.Done()
	return conn.Close()
}

// fill brings in sessions until there are n, and returns how many nanoseconds each
// took.
func (r *filledRegistry) fill(n int) (float64, error) {
	r.names = append(r.names, clientNames(len(r.names), n-len(r.names))...)
	missing := r.names[len(r.links):]
	started := time.Now()
	for _, name := range missing {
		l := new(deadLink)
		err := r.accept.Accept(tunnel.Peer{Name: name}, func(cfg tunnel.Config) tunnel.Link {
			l.peer, l.end = cfg.Remote, cfg.OnEnd
			return l
		})
		if err != nil {
			return 0, err
		}
		r.links = append(r.links, l)
	}
	return nanos(started, len(missing)), nil
}

// remove ends a part of the sessions, and returns how many nanoseconds each took.
func (r *filledRegistry) remove() float64 {
	rest := len(r.links) / 10 * 9
	started := time.Now()
	for _, l := range r.links[rest:] {
		l.Close(nil)
	}
	took := nanos(started, len(r.links)-rest)
	r.links = r.links[:rest]
	return took
}

// callsOfNames is how many calls are measured.
const callsOfNames = 200_000

// call calls names at random, and returns how many nanoseconds each call took.
func (r *filledRegistry) call() (float64, error) {
	ctx := context.Background()
	started := time.Now()
	for range callsOfNames {
		if err := r.callOnce(ctx); err != nil {
			return 0, err
		}
	}
	return nanos(started, callsOfNames), nil
}

func (r *filledRegistry) callOnce(ctx context.Context) error {
	return r.server.Client(r.names[rand.IntN(len(r.links))]).Invoke(ctx, "/bench/Nothing", nil, nil)
}

// lookup does the same with nothing but a map.
func (r *filledRegistry) lookup() float64 {
	links := make(map[string]*deadLink, len(r.links))
	for i, l := range r.links {
		links[r.names[i]] = l
	}
	ctx := context.Background()
	started := time.Now()
	for range callsOfNames {
		_ = links[r.names[rand.IntN(len(r.links))]].Invoke(ctx, "/bench/Nothing", nil, nil)
	}
	return nanos(started, callsOfNames)
}

// list goes through all sessions a few times, and returns how many milliseconds that
// took, the median.
func (r *filledRegistry) list() (float64, error) {
	const count = 5
	var took []float64
	for range count {
		started, found := time.Now(), 0
		for range r.server.Sessions() {
			found++
		}
		took = append(took, nanos(started, 1)/1e6)
		if found != len(r.links) {
			return 0, fmt.Errorf("found %d sessions of %d", found, len(r.links))
		}
	}
	return median(took), nil
}

func nanos(since time.Time, count int) float64 {
	return float64(time.Since(since).Nanoseconds()) / float64(max(count, 1))
}

// deadLink is a session of nothing. It answers every call at once.
type deadLink struct {
	peer tunnel.Peer
	end  func()
}

var never = make(chan struct{})

func (l *deadLink) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return nil }

func (l *deadLink) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.ErrUnsupported
}

func (l *deadLink) Peer() tunnel.Peer           { return l.peer }
func (l *deadLink) InFlight() int               { return 0 }
func (l *deadLink) RoundTrip() time.Duration    { return 0 }
func (l *deadLink) Done() <-chan struct{}       { return never }
func (l *deadLink) Err() error                  { return nil }
func (l *deadLink) Close(error)                 { l.end() }
func (l *deadLink) Wait()                       {}
func (l *deadLink) GoAway(tunnel.GoAway)        {}
func (l *deadLink) Leave(context.Context) error { return nil }
