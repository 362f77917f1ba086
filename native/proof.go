package native

import (
	"context"
	"errors"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/internal/logattr"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// proof is what is known of a method at a Java client. brpc-java loses a worker
// thread to each push of a method that it does not know (ClientWorkTask), so a
// method has to prove itself: until its first answer it is pushed one at a time,
// and not for ever. link.mu guards it.
type proof struct {
	key      string
	answered bool
	missed   int           // how many were not answered
	probing  chan struct{} // closed when the push under way has ended; nil if there is none
}

// enter counts a call in. It returns the proof that the call may bring, nil if none
// is needed. It waits while another call is to bring it.
func (l *link) enter(ctx context.Context, key string, oneWay bool) (*proof, error) {
	for {
		l.mu.Lock()
		if l.leaving || l.ended {
			defer l.mu.Unlock()
			return nil, l.gone()
		}
		if most := l.cfg.MaxOutgoingCalls; l.pushes >= most {
			l.mu.Unlock()
			return nil, tunnel.NewError(status.Newf(codes.ResourceExhausted, "pushtunnel: client %q: the limit %q is reached: %d calls at a time",
				l.cfg.Remote.Name, string(tunnel.LimitOutgoingCalls), most), tunnel.OutcomeNotSent, tunnel.LimitOutgoingCalls)
		}
		if !l.careful || oneWay || l.opts.maxUnanswered <= 0 {
			l.inFlight, l.pushes = l.inFlight+1, l.pushes+1
			l.mu.Unlock()
			return nil, nil
		}
		p := l.proofs[key]
		if p == nil {
			p = &proof{key: key}
			if l.proofs == nil {
				l.proofs = make(map[string]*proof)
			}
			l.proofs[key] = p
		}
		switch {
		case p.answered:
			l.inFlight, l.pushes = l.inFlight+1, l.pushes+1
			l.mu.Unlock()
			return nil, nil
		case p.missed >= l.opts.maxUnanswered:
			defer l.mu.Unlock()
			return nil, tunnel.NewError(status.Newf(codes.Unavailable,
				"pushtunnel: %s is not pushed to client %s any more: it has not answered %d pushes of it, and each may have cost it a thread; "+
					"let the method exist there and return a value, or declare it one_way", key, l.cfg.Remote.Name, p.missed),
				tunnel.OutcomeNotSent, nil)
		case p.probing == nil:
			p.probing = make(chan struct{})
			l.inFlight, l.pushes = l.inFlight+1, l.pushes+1
			l.mu.Unlock()
			return p, nil
		}
		probing := p.probing
		l.mu.Unlock()
		select {
		case <-probing:
		case <-ctx.Done():
			return nil, tunnel.NewError(status.FromContextError(ctx.Err()), tunnel.OutcomeNotSent, ctx.Err())
		}
	}
}

// exit counts a call out, with what it has shown.
func (l *link) exit(p *proof, err error) {
	if p != nil {
		l.mu.Lock()
		switch {
		case err == nil:
			p.answered = true
		case (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) && !tunnel.NotSent(err):
			p.missed++
			if p.missed == l.opts.maxUnanswered {
				l.opts.logger.LogAttrs(context.Background(), slog.LevelWarn, "method is not pushed any more",
					append(logattr.Client(l.cfg.Remote), logattr.Method(p.key), slog.Int("unanswered", p.missed))...)
			}
		}
		close(p.probing)
		p.probing = nil
		l.mu.Unlock()
	}
	l.mu.Lock()
	l.pushes--
	l.mu.Unlock()
	l.count(-1)
}

// lateAnswer returns what to do if an answer comes after all, nil for nothing.
func (l *link) lateAnswer(p *proof) func() {
	if p == nil {
		return nil
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		p.answered = true
	}
}
