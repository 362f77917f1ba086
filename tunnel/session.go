package tunnel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Session is one live tunnel. It is a grpc.ClientConnInterface: calls on it are
// calls to the peer. All methods may be called by any goroutine.
//
// A session ends when its transport does, when the peer breaks the protocol or
// falls silent, and by Leave and Close. Calls that wait for an answer then get
// UNAVAILABLE, handlers that run have their contexts cancelled.
type Session struct {
	cfg       Config
	server    bool // this end accepted
	transport Transport
	out       outbox
	table     table
	budget    budget
	live      heartbeat

	hello    chan struct{} // closed when the peer's hello has come
	previous string        // what it says of the session before; to be read after that
	lost     bool          // likewise
	remote   limits        // likewise
	welcomed bool          // the reader's: the first frame has come
	used     bool          // likewise: the last batch came soon after the one before
	open     atomic.Bool   // this end has said hello

	done     chan struct{}  // closed when the session has ended
	ending   atomic.Bool    // somebody ends the session
	err      error          // why; to be read after done
	reader   sync.WaitGroup // of the goroutine that reads
	peerDone chan struct{}  // closed when the peer begins no more calls; nil if it never does
	parted   bool           // the reader's: it is
}

// limits are what the peer takes.
type limits struct {
	maxCalls    int
	callWindow  int64
	maxMetadata int
}

// Dial says hello on a transport that this end has dialled, and waits for the
// answer: until ctx ends or cfg.HandshakeTimeout has passed. The transport
// belongs to the session from now on, and is closed when Dial fails.
func Dial(ctx context.Context, t Transport, cfg Config) (*Session, error) {
	s := newSession(t, cfg, false)
	s.sendHello("")
	if err := s.awaitHello(ctx); err != nil {
		return nil, err
	}
	s.live.start()
	return s, nil
}

// Accept waits for the peer's hello on a transport that the peer has dialled:
// until ctx ends or cfg.HandshakeTimeout has passed. The session takes no calls
// until Welcome. The transport belongs to the session from now on, and is closed
// when Accept fails.
func Accept(ctx context.Context, t Transport, cfg Config) (*Session, error) {
	s := newSession(t, cfg, true)
	if err := s.awaitHello(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Welcome answers the hello of a peer that has dialled. Calls may be made from
// now on.
func (s *Session) Welcome() {
	s.sendHello(s.cfg.Remote.Session)
	s.live.start()
}

func newSession(t Transport, cfg Config, server bool) *Session {
	s := &Session{
		cfg:       cfg.WithDefaults(),
		server:    server,
		transport: t,
		hello:     make(chan struct{}),
		done:      make(chan struct{}),
	}
	if !server {
		s.peerDone = make(chan struct{})
	}
	s.cfg.Services.freeze()
	s.budget.init(&s.cfg)
	s.table.init(server)
	s.out.init(s)
	s.live.init(s)
	s.reader.Go(s.read)
	return s
}

// awaitHello waits for the peer's hello. If it fails the session is closed.
func (s *Session) awaitHello(ctx context.Context) error {
	timer := time.NewTimer(s.cfg.HandshakeTimeout)
	defer timer.Stop()
	var err error
	select {
	case <-s.hello:
		s.hello = nil // nobody else waits for it
		return nil
	case <-s.done:
		if s.err != nil {
			return s.err
		}
		return status.Error(codes.Unavailable, "pushtunnel: the peer ended the session before it said hello")
	case <-timer.C:
		err = status.Errorf(codes.DeadlineExceeded, "pushtunnel: the peer did not say hello within %v", s.cfg.HandshakeTimeout)
	case <-ctx.Done():
		select {
		case <-s.hello: // it has come all the same
			s.hello = nil
			return nil
		default:
		}
		err = status.Error(status.FromContextError(ctx.Err()).Code(), "pushtunnel: waiting for the peer's hello: "+ctx.Err().Error())
	}
	s.Close(err)
	return err
}

// Peer returns who is at the other end.
func (s *Session) Peer() Peer { return s.cfg.Remote }

// PreviousSession returns what the peer has said about the session before this
// one. See Hello in proto/pushtunnel.proto.
func (s *Session) PreviousSession() (id string, lost bool) {
	return s.previous, s.lost
}

// Done returns a channel that is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err tells why the session has ended: nil if it has not, or ended in order.
func (s *Session) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Wait waits until nothing of the session runs any more but handlers: its
// transport has ended too, after Done. At the accepting end of a gRPC stream that
// is after the stream's handler has returned.
func (s *Session) Wait() { s.reader.Wait() }

// Traffic is what a session has carried.
type Traffic struct {
	// Received and Sent are bytes, with what the protocol adds to messages.
	Received, Sent uint64
	// Queued is how many bytes of messages of this end's calls wait to be sent, with
	// 512 for each message where the protocol is this package's.
	Queued int64
	// Calls is how many calls of this end have begun to be sent.
	Calls uint64
}

// Traffic returns what the session has carried so far.
func (s *Session) Traffic() Traffic {
	return Traffic{Received: s.out.received.Load(), Sent: s.out.sent(), Queued: s.out.queued.Load(), Calls: s.table.begun()}
}

// InFlight returns how many calls are under way.
func (s *Session) InFlight() int { return s.out.inFlight() }

// RoundTrip returns how long the last heartbeat took to come back, zero before
// the first.
func (s *Session) RoundTrip() time.Duration { return time.Duration(s.live.roundTrip.Load()) }

func (s *Session) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Close ends the session at once. err, a status error, is what the peer is told;
// nil means in order.
func (s *Session) Close(err error) {
	if s.claimEnd(err) {
		if err != nil {
			s.sendClose(status.Convert(err))
		}
		s.finish()
	}
	<-s.done
}

// end ends the session without a word to the peer.
func (s *Session) end(err error) {
	if s.claimEnd(err) {
		s.finish()
	}
}

// claimEnd says why the session ends, unless somebody has said so before. What
// follows an end, the peer's answer to it above all, must not count as its
// reason.
func (s *Session) claimEnd(err error) bool {
	if !s.ending.CompareAndSwap(false, true) {
		return false
	}
	s.err = err
	return true
}

// finish is for the one whose claimEnd was true.
func (s *Session) finish() {
	close(s.done)
	s.live.stop()
	if s.cfg.OnEnd != nil {
		s.cfg.OnEnd()
	}
	unsent := s.out.close()
	begun := s.table.end()
	for _, c := range unsent {
		c.lost(s.unavailable(OutcomeNotSent))
	}
	for _, c := range begun {
		c.lost(s.unavailable(OutcomeUnknown))
	}
	s.transport.Close(s.err)
}

// label begins the messages of errors that a caller sees.
func (s *Session) label() string {
	if s.cfg.Remote.Name == "" {
		return "pushtunnel: "
	}
	return fmt.Sprintf("pushtunnel: client %q: ", s.cfg.Remote.Name)
}

// unavailable is the error of a call on a session that has ended.
func (s *Session) unavailable(outcome Outcome) error {
	text := s.label() + "the session has ended"
	if s.err != nil {
		text += ": " + reason(s.err)
	}
	return NewError(status.New(codes.Unavailable, text), outcome, s.err)
}

// reason is the text of an error, without the decoration of a status.
func reason(err error) string {
	if st, ok := status.FromError(err); ok {
		return st.Message()
	}
	return err.Error()
}

// protocolError is how a session ends whose peer breaks the protocol. It is not
// among the codes that stop a client for good: one broken session should not.
func protocolError(err error) error {
	return NewError(status.Newf(codes.Internal, "pushtunnel: protocol error: %v", err), OutcomeAnswered, ErrProtocol)
}

// The causes of ends of sessions that errors.Is finds in Session.Err.
var (
	// ErrSilent means that nothing was heard of the peer for two heartbeats.
	ErrSilent = errors.New("pushtunnel: the peer is silent")
	// ErrProtocol means that the peer has broken the protocol.
	ErrProtocol = errors.New("pushtunnel: protocol error")
)

var (
	errNotListening = errors.New("the peer makes this end talk and does not listen")
	errNoHello      = errors.New("the first frame is not a hello")
	errNoSessionID  = errors.New("a hello of a server without a session id")
	errEarly        = errors.New("a frame before the hello of this end")
	errHelloTwice   = errors.New("a second hello")
	errPings        = errors.New("too many pings")
	errRole         = errors.New("a frame that only the other end may send")
)
