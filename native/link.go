package native

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/internal/bufpool"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// link is a session: some connections to one peer, which a call may take any of.
type link struct {
	role
	opts    *options
	cfg     *tunnel.Config // what this end's user has set, for the calls it makes; never changes
	methods *methods       // that can be called at the peer
	careful bool           // the peer is a Java client, which a push may cost a thread
	held    atomic.Int64   // bytes of calls of this end that have no answer yet

	readers sync.WaitGroup // of the goroutines that belong to it; the client's
	done    chan struct{}  // closed when the session has ended

	// mu guards what follows.
	mu       sync.Mutex
	onEnd    func()
	onGoAway func(tunnel.GoAway)
	conns    []*conn
	wake     chan struct{} // closed when conns changes; nil unless somebody waits for that
	next     int
	inFlight int // calls of both directions
	pushes   int // those of them that this end makes
	leaving  bool
	ended    bool
	err      error
	carried  tunnel.Traffic // by connections that have gone
	proofs   map[string]*proof
}

func newLink(r role, opts *options, cfg *tunnel.Config, ms *methods) *link {
	return &link{role: r, opts: opts, cfg: cfg, methods: ms, done: make(chan struct{})}
}

var _ tunnel.Link = (*link)(nil)

// Invoke makes a unary call.
func (l *link) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return l.cfg.InvokeUnary(ctx, method, args, reply, opts, l.exchange)
}

// NewStream begins a call of a unary method as a stream: one message may be sent,
// and one comes back.
func (l *link) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return newUnaryStream(ctx, l, method, opts), nil
}

// exchange makes a call on one of the connections. If that has gone before
// anything was sent it tries the next.
func (l *link) exchange(ctx context.Context, call *tunnel.UnaryCall) error {
	r, err := newRequest(l.opts, l.methods, call)
	if err != nil {
		return err
	}
	oneWay := r.method != nil && r.method.OneWay
	defer bufpool.Pool.Put(r.frame)
	size := int64(len(*r.frame)) + waiting
	if err := l.reserve(size); err != nil {
		return err
	}
	defer l.release(size)
	p, err := l.enter(ctx, r.key, oneWay)
	if err != nil {
		return err
	}
	answer, err := l.send(ctx, &r, p, oneWay)
	l.exit(p, err)
	if err != nil || answer == nil {
		return err
	}
	return r.decode(answer)
}

// waiting is what a call of this end counts for besides its frame.
const waiting = 512

// reserve makes room for a call of this end, whose frame is held until it has its
// answer.
func (l *link) reserve(n int64) error {
	all := l.held.Add(n)
	limit := tunnel.Limit("")
	switch {
	case all > l.cfg.MaxQueued && all > n:
		limit = tunnel.LimitQueued
	case !l.cfg.Memory.Take(n, all-n):
		limit = tunnel.LimitMemory
	default:
		return nil
	}
	l.held.Add(-n)
	return tunnel.NewError(status.Newf(codes.ResourceExhausted, "pushtunnel: client %q: too much waits for answers: the limit %q is reached",
		l.cfg.Remote.Name, string(limit)), tunnel.OutcomeNotSent, limit)
}

// release gives back what was reserved.
func (l *link) release(n int64) {
	l.held.Add(-n)
	l.cfg.Memory.Give(n)
}

// send sends a request and returns the body of the answer, nil if nobody waits
// for one.
func (l *link) send(ctx context.Context, r *request, p *proof, oneWay bool) (*[]byte, error) {
	for {
		c, err := l.pick(ctx)
		if err != nil {
			return nil, err
		}
		var answer *[]byte
		if oneWay {
			err = c.tell(ctx, l.asks, r.frame, l.patience(ctx))
		} else {
			answer, err = c.roundTrip(ctx, l.asks, r.frame, l.patience(ctx), l.lateAnswer(p))
		}
		if err != nil && tunnel.NotSent(err) && c.calls.ended() && l.drop(c) {
			continue // on another connection
		}
		return answer, err
	}
}

// patience is how long a call may wait for its answer besides its deadline.
func (l *link) patience(ctx context.Context) time.Duration {
	if _, ok := ctx.Deadline(); ok {
		return 0
	}
	return l.opts.timeout
}

// pick returns the connection whose turn it is, among those that are ready. It
// waits for one if all are new.
func (l *link) pick(ctx context.Context) (*conn, error) {
	for {
		l.mu.Lock()
		n := len(l.conns)
		if n == 0 || l.ended {
			err := l.gone()
			l.mu.Unlock()
			return nil, err
		}
		var now time.Time
		var soonest time.Time
		for range n {
			l.next++
			c := l.conns[l.next%n]
			if c.pushable.IsZero() {
				l.mu.Unlock()
				return c, nil
			}
			if now.IsZero() {
				now = time.Now()
			}
			if !now.Before(c.pushable) {
				c.pushable = time.Time{}
				l.mu.Unlock()
				return c, nil
			}
			if soonest.IsZero() || c.pushable.Before(soonest) {
				soonest = c.pushable
			}
		}
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		wake := l.wake
		l.mu.Unlock()
		t := time.NewTimer(soonest.Sub(now))
		select {
		case <-t.C:
		case <-wake:
		case <-ctx.Done():
			t.Stop()
			return nil, tunnel.NewError(status.FromContextError(ctx.Err()), tunnel.OutcomeNotSent, ctx.Err())
		}
		t.Stop()
	}
}

// gone is the error of a call that comes too late. l.mu is held.
func (l *link) gone() error {
	text := "pushtunnel: the connection to client " + l.cfg.Remote.Name + " has ended"
	if l.asks == TypeRequest {
		text = "pushtunnel: the connection to the server has ended"
	}
	return tunnel.NewError(status.New(codes.Unavailable, text), tunnel.OutcomeNotSent, l.err)
}

// add adds a connection. It reports false if the session has ended.
func (l *link) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.conns = append(l.conns, c)
	l.changed()
	return true
}

// changed wakes those that wait for a connection. l.mu is held.
func (l *link) changed() {
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

// drop takes a connection out, if it is in. It reports whether others are left.
func (l *link) drop(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.conns {
		if other == c {
			l.conns = append(l.conns[:i:i], l.conns[i+1:]...)
			l.carried = plus(l.carried, c)
			l.changed()
			break
		}
	}
	return len(l.conns) > 0
}

// end ends the session: its connections are closed, with err for their calls.
func (l *link) end(err error, cause error) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return
	}
	l.ended, l.err = true, err
	conns, onEnd := l.conns, l.onEnd
	for _, c := range conns {
		l.carried = plus(l.carried, c)
	}
	l.conns = nil
	l.mu.Unlock()
	close(l.done)
	if onEnd != nil {
		onEnd()
	}
	for _, c := range conns {
		c.close(cause)
	}
}

// open tells the session whom to tell of its end, once.
func (l *link) open(onEnd func(), onGoAway func(tunnel.GoAway)) {
	l.mu.Lock()
	l.onEnd, l.onGoAway = onEnd, onGoAway
	ended := l.ended
	l.mu.Unlock()
	if ended && onEnd != nil {
		onEnd()
	}
}

// Peer returns who is at the other end.
func (l *link) Peer() tunnel.Peer { return l.cfg.Remote }

// InFlight returns how many calls are under way.
func (l *link) InFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight
}

// Traffic returns what the session has carried so far.
func (l *link) Traffic() tunnel.Traffic {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.carried
	for _, c := range l.conns {
		all = plus(all, c)
		all.Queued += int64(c.out.Waiting())
	}
	return all
}

// plus adds what a connection has carried.
func plus(t tunnel.Traffic, c *conn) tunnel.Traffic {
	t.Received += c.in.received.Load()
	t.Sent += c.sent.Load()
	t.Calls += c.calls.begun()
	return t
}

// RoundTrip returns zero: the protocol has no heartbeats.
func (l *link) RoundTrip() time.Duration { return 0 }

// Done returns a channel that is closed when the session has ended.
func (l *link) Done() <-chan struct{} { return l.done }

// Err tells why it has ended.
func (l *link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close ends the session. The peer is told nothing: the protocol has no words for
// it.
func (l *link) Close(err error) {
	cause := err
	if cause == nil {
		cause = status.Error(codes.Unavailable, "pushtunnel: the session was closed")
	}
	l.end(err, tunnel.NewError(status.Convert(cause), tunnel.OutcomeUnknown, cause))
}

// Wait waits until the session has ended and its connections are no longer read.
func (l *link) Wait() {
	<-l.done
	l.readers.Wait()
}

// GoAway takes no more calls, and ends the session when those under way have
// ended.
func (l *link) GoAway(g tunnel.GoAway) {
	l.mu.Lock()
	retire := l.onGoAway
	l.mu.Unlock()
	if retire != nil {
		retire(g)
	}
	l.leave()
}

// Leave does the same, and waits until the session has ended.
func (l *link) Leave(ctx context.Context) error {
	l.leave()
	select {
	case <-l.done:
		return l.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *link) leave() {
	l.mu.Lock()
	first := !l.leaving && !l.ended
	l.leaving = true
	idle := l.inFlight == 0
	l.mu.Unlock()
	if first && idle {
		go l.finish()
	}
}

// finish ends a session that was left, when what was answered has been sent.
func (l *link) finish() {
	l.mu.Lock()
	conns := append([]*conn(nil), l.conns...)
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, c := range conns {
		c.out.Drain(ctx)
	}
	l.Close(nil)
}

// count counts calls in and out: those that this end makes and those it serves.
func (l *link) count(n int) {
	l.mu.Lock()
	l.inFlight += n
	last := l.leaving && l.inFlight == 0 && n < 0
	l.mu.Unlock()
	if last {
		go l.finish()
	}
}
