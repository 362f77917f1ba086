package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/admin"
	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

func everybody(context.Context, string) error { return nil }

// world is a gRPC server with the service, and a connection to it. Its sessions have
// no connections: a protocol that the test plays lets them in.
type world struct {
	pb.AdminClient
	t        *testing.T
	push     *server.Server
	grpc     *grpc.Server
	cc       *grpc.ClientConn
	acceptor tunnel.Acceptor
}

func newWorld(t *testing.T, authorize admin.AuthorizeFunc, opts []admin.Option, serverOpts ...server.Option) *world {
	t.Helper()
	return newWorldWith(t, func(w *world) { admin.Register(w.grpc, w.push, authorize, opts...) }, serverOpts...)
}

// newWorldWith is newWorld with what register registers.
func newWorldWith(t *testing.T, register func(*world), serverOpts ...server.Option) *world {
	t.Helper()
	serverOpts = append([]server.Option{server.WithConnectRate(0, 0), server.WithMaxSessions(0)}, serverOpts...)
	w := &world{t: t, push: server.New(serverOpts...), grpc: grpc.NewServer()}
	register(w)
	calls, raw := bufconn.Listen(1<<16), bufconn.Listen(1)
	acceptors := make(chan tunnel.Acceptor, 1)
	var served sync.WaitGroup
	served.Go(func() { _ = w.grpc.Serve(calls) })
	served.Go(func() { _ = w.push.Serve(raw, door(acceptors)) })
	conn, err := raw.DialContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.acceptor = <-acceptors
	w.cc, err = grpc.NewClient("passthrough:///admin",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return calls.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStaticStreamWindowSize(1<<16), grpc.WithStaticConnWindowSize(1<<16))
	if err != nil {
		t.Fatal(err)
	}
	w.AdminClient = pb.NewAdminClient(w.cc)
	t.Cleanup(func() {
		w.cc.Close()
		if err := w.push.Close(); err != nil {
			t.Error(err)
		}
		w.grpc.Stop()
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
	cfg      tunnel.Config
	done     chan struct{}
	once     sync.Once
	inFlight int
	trip     time.Duration
}

func (l *link) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return nil }

func (l *link) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.ErrUnsupported
}

func (l *link) Peer() tunnel.Peer           { return l.cfg.Remote }
func (l *link) InFlight() int               { return l.inFlight }
func (l *link) RoundTrip() time.Duration    { return l.trip }
func (l *link) Done() <-chan struct{}       { return l.done }
func (l *link) Err() error                  { return nil }
func (l *link) Wait()                       {}
func (l *link) GoAway(tunnel.GoAway)        { l.Close(nil) }
func (l *link) Leave(context.Context) error { l.Close(nil); return nil }

func (l *link) Close(error) {
	l.once.Do(func() {
		close(l.done)
		l.cfg.OnEnd()
	})
}

// enter lets in a session, and returns it to be closed.
func (w *world) enter(remote tunnel.Peer) *link {
	w.t.Helper()
	l := &link{done: make(chan struct{})}
	err := w.acceptor.Accept(remote, func(cfg tunnel.Config) tunnel.Link {
		l.cfg = cfg
		return l
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// named lets in a session of this name and no more.
func (w *world) named(name string) *link { return w.enter(tunnel.Peer{Name: name}) }

// ids returns the ids of all sessions that take calls, the oldest first.
func (w *world) ids() []string {
	var ids []string
	for s := range w.push.All() {
		ids = append(ids, s.ID())
	}
	return ids
}

// list reads all pages.
func (w *world) list(req *pb.ListSessionsRequest, between func()) []*pb.Session {
	w.t.Helper()
	var all []*pb.Session
	for {
		page, err := w.ListSessions(w.t.Context(), req)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, page.GetSessions()...)
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			return all
		}
		if between != nil {
			between()
		}
	}
}

func names(sessions []*pb.Session) []string {
	got := []string{}
	for _, s := range sessions {
		got = append(got, s.GetName())
	}
	return got
}

// watch is a call of WatchSessions, and the picture that it gives.
type watch struct {
	stream    grpc.ServerStreamingClient[pb.WatchSessionsResponse]
	dense     bool // whether revisions have no gaps
	whole     bool // whether the last snapshot is complete
	revision  uint64
	sessions  []*pb.Session
	snapshots int
	parts     int
	changes   int
	err       error
}

func (w *world) watch(ctx context.Context, f *pb.Filter) *watch {
	w.t.Helper()
	stream, err := w.WatchSessions(ctx, &pb.WatchSessionsRequest{Filter: f})
	if err != nil {
		w.t.Fatal(err)
	}
	return &watch{stream: stream, dense: f == nil}
}

// read reads a response. It returns the stream's error, or what is wrong.
func (w *watch) read() error {
	r, err := w.stream.Recv()
	if err != nil {
		return err
	}
	if part := r.GetSnapshot(); part != nil {
		switch {
		case part.GetBegin():
			if w.snapshots > 0 && r.GetRevision() <= w.revision {
				return fmt.Errorf("a new snapshot of revision %d after %d", r.GetRevision(), w.revision)
			}
			w.sessions, w.revision = nil, r.GetRevision()
			w.snapshots++
		case w.whole || r.GetRevision() != w.revision:
			return fmt.Errorf("a part of revision %d without a beginning", r.GetRevision())
		}
		w.parts++
		w.sessions = append(w.sessions, part.GetSessions()...)
		w.whole = part.GetEnd()
		return nil
	}
	if !w.whole {
		return errors.New("a change before the snapshot was whole")
	}
	w.changes++
	if r.GetRevision() <= w.revision || w.dense && r.GetRevision() != w.revision+1 {
		return fmt.Errorf("revision %d after %d", r.GetRevision(), w.revision)
	}
	w.revision = r.GetRevision()
	if s := r.GetCame(); s != nil {
		if w.find(s.GetId()) >= 0 {
			return fmt.Errorf("session %q came twice", s.GetName())
		}
		w.sessions = append(w.sessions, s)
		return nil
	}
	i := w.find(r.GetLeft().GetId())
	if i < 0 {
		return fmt.Errorf("session %q left, which was not there", r.GetLeft().GetName())
	}
	w.sessions = slices.Delete(w.sessions, i, i+1)
	return nil
}

// sees reports whether a session of this name is in the picture.
func (w *watch) sees(name string) bool {
	return w.whole && slices.ContainsFunc(w.sessions, func(s *pb.Session) bool { return s.GetName() == name })
}

func (w *watch) find(id string) int {
	return slices.IndexFunc(w.sessions, func(s *pb.Session) bool { return s.GetId() == id })
}

func (w *watch) ids() []string {
	var ids []string
	for _, s := range w.sessions {
		ids = append(ids, s.GetId())
	}
	return ids
}

// until reads until the picture is that of a revision, or of a later one.
func (w *watch) until(t *testing.T, revision uint64) {
	t.Helper()
	for !w.whole || w.revision < revision {
		if err := w.read(); err != nil {
			t.Fatal(err)
		}
	}
}

// bubble runs a test with a clock of its own, which fails if a goroutine is left.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
}

func wantSame[E comparable](t *testing.T, what string, got, want []E) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
