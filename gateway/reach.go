package gateway

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// reach finds what a call is for, and begins it there with begin: once more on
// another session if nothing was sent.
func (g *Gateway) reach(ctx context.Context, r *route, begin func(grpc.ClientConnInterface) error) error {
	switch {
	case r.Session != "":
		s, ok := g.push.Session(r.Session)
		if !ok || !r.matches(s) {
			return notSent(codes.Unavailable, fmt.Sprintf("pushtunnel: %v is not connected", r), nil)
		}
		return begin(s)
	case r.selects:
		s, err := g.pick(ctx, r, nil)
		if err != nil {
			return err
		}
		if err = begin(s); retriable(err) && ctx.Err() == nil {
			if other, pickErr := g.pick(ctx, r, s); pickErr == nil {
				err = begin(other)
			}
		}
		return err
	default:
		return begin(g.push.Namespace(r.Namespace).Client(r.Client))
	}
}

// pick returns a session that the labels match, other than avoid. It waits for one
// if the call does.
func (g *Gateway) pick(ctx context.Context, r *route, avoid *server.Session) (*server.Session, error) {
	for {
		if some := g.matching(r, avoid); len(some) > 0 {
			return g.choose(ctx, r, some)
		}
		if !r.waits {
			return nil, notSent(codes.Unavailable, fmt.Sprintf("pushtunnel: %v is not connected", r), nil)
		}
		if !g.await(ctx, r, avoid) {
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, notSent(status.FromContextError(err).Code(), fmt.Sprintf("pushtunnel: waiting for %v to connect: %v", r, err), err)
	}
	return nil, notSent(codes.Unavailable, server.ErrServerClosed.Error(), server.ErrServerClosed)
}

// matching returns the sessions that the labels match, other than avoid.
func (g *Gateway) matching(r *route, avoid *server.Session) (some []*server.Session) {
	var names []string // none: all
	if r.Client != "" {
		names = append(names, r.Client)
	}
	for s := range server.Select(r.Selector, g.push.Namespace(r.Namespace).Sessions(names...)) {
		if s != avoid {
			some = append(some, s)
		}
	}
	return some
}

func (g *Gateway) choose(ctx context.Context, r *route, some []*server.Session) (*server.Session, error) {
	s := g.opts.picker(server.Pick{Context: ctx, Name: r.Client, Method: r.Method, Sessions: some, Sequence: g.picks.Add(1) - 1})
	if s == nil {
		return nil, notSent(codes.Unavailable, fmt.Sprintf("pushtunnel: the picker chose no session of %v", r), nil)
	}
	return s, nil
}

// await waits for a session that the labels match. It reports false if ctx has ended
// or the server is closed.
func (g *Gateway) await(ctx context.Context, r *route, avoid *server.Session) bool {
	fits := func(s *server.Session) bool { return s != avoid && r.matches(s) }
	for change := range g.push.Watch(ctx) {
		switch change.Kind {
		case server.Snapshot:
			if slices.ContainsFunc(change.Sessions, fits) {
				return true
			}
		case server.SessionCame:
			if fits(change.Session) {
				return true
			}
		case server.SessionLeft:
		}
	}
	return false
}

// matches reports whether a session is one that the call asks for.
func (r *route) matches(s *server.Session) bool {
	return s.Namespace() == r.Namespace && (r.Client == "" || s.Name() == r.Client) && r.Selector.Matches(s.Labels())
}

// String says for people whom the call is for.
func (r *route) String() string {
	text := "client"
	if r.Client != "" {
		text = fmt.Sprintf("client %q", r.Client)
	}
	if r.Namespace != "" {
		text += fmt.Sprintf(" of namespace %q", r.Namespace)
	}
	if r.Session != "" {
		text = fmt.Sprintf("session %q of %s", r.Session, text)
	}
	if r.selects {
		text += fmt.Sprintf(" with labels %q", r.Selector)
	}
	return text
}

// retriable reports whether a call may fare better on another session.
func retriable(err error) bool {
	code := status.Code(err)
	return tunnel.NotSent(err) && (code == codes.Unavailable || code == codes.ResourceExhausted)
}
