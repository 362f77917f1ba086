package native

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// client is a native client at the server: one process, with its connections.
type client struct {
	*link
	roster   *roster
	key      rosterKey
	acceptor tunnel.Acceptor
	process  int64 // as it has said itself; 0 if it has not

	// roster.mu guards what follows.
	seen    []int64     // the ids of its registrations, the newest last
	waiting *time.Timer // runs admit; nil once it has run
}

// rosterKey is what connections of one client have in common.
type rosterKey struct {
	acceptor  tunnel.Acceptor
	namespace string
	name      string
	subject   string
	host      netip.Addr
}

// maxSeen is how many registrations of a client are remembered.
const maxSeen = 64

// roster knows which connections are of the same client. A Java client opens 8 and
// registers its name on each (AbstractBrpcChannel); it does not say that they
// belong together. So they do if they have the name and the host in common,
// unless the ids of their registrations say otherwise: brpc-java counts its calls
// per process, so that one process never uses an id twice, while two processes
// both begin at 0. A client that says which process it is needs no guess.
type roster struct {
	// mu guards what follows, and what the clients say it guards.
	mu      sync.Mutex
	clients map[rosterKey][]*client
}

// find returns the client that a registration is of, nil if it is new. r.mu is
// held.
func (r *roster) find(key rosterKey, reg registration) *client {
	for _, c := range r.clients[key] {
		if c.process != reg.process {
			continue
		}
		if reg.process != 0 || !slices.Contains(c.seen, reg.id) {
			return c
		}
	}
	return nil
}

// forget takes a client out.
func (r *roster) forget(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.stopWaiting()
	rest := slices.DeleteFunc(slices.Clone(r.clients[c.key]), func(other *client) bool { return other == c })
	if len(rest) == 0 {
		delete(r.clients, c.key)
		return
	}
	r.clients[c.key] = rest
}

// join adds a connection to the client that it is of. The client is admitted at
// once, or when it is ready for pushes. An error says why it is refused.
func (p *protocol) join(c *conn, a tunnel.Acceptor, reg registration) error {
	r := &p.roster
	// Each connection is asked for: one that says the name of another is not of it.
	remote, err := a.Identify(c.ctx, tunnel.Peer{Name: reg.name, Addr: c.nc.RemoteAddr()})
	if err != nil {
		return err
	}
	key := rosterKey{acceptor: a, namespace: remote.Namespace, name: remote.Name, subject: remote.Subject, host: hostOf(c)}
	for {
		r.mu.Lock()
		cl := r.find(key, reg)
		if cl == nil {
			cl = p.newClient(c, key, remote, reg)
			if r.clients == nil {
				r.clients = make(map[rosterKey][]*client)
			}
			r.clients[key] = append(r.clients[key], cl)
		}
		if len(cl.seen) == maxSeen {
			cl.seen = slices.Delete(cl.seen, 0, 1)
		}
		cl.seen = append(cl.seen, reg.id)
		c.pushable = time.Time{}
		if cl.careful {
			c.pushable = reg.at.Add(p.opts.fresh)
		}
		if !cl.add(c) {
			r.mu.Unlock()
			r.forget(cl) // it has ended just now
			continue
		}
		c.client, c.claimed = cl, reg.name
		first := len(cl.seen) == 1
		if first && cl.careful {
			cl.waiting = time.AfterFunc(max(p.opts.grace, p.opts.fresh), cl.ready)
		}
		r.mu.Unlock()
		cl.limit(p.opts.maxConns)
		if first && !cl.careful {
			if err := cl.admit(); err != nil {
				cl.drop(c) // it is told before it is closed
				cl.Close(err)
				return err
			}
		}
		return nil
	}
}

func hostOf(c *conn) netip.Addr {
	ap, err := netip.ParseAddrPort(c.nc.RemoteAddr().String())
	if err != nil {
		return netip.Addr{} // no network that has hosts
	}
	return ap.Addr().Unmap()
}

func (p *protocol) newClient(c *conn, key rosterKey, remote tunnel.Peer, reg registration) *client {
	remote.Session = rand.Text()
	cfg := p.config(c, key.acceptor, remote)
	cl := &client{
		link: newLink(serverRole, p.opts, cfg, p.pushes), roster: &p.roster, key: key, acceptor: key.acceptor, process: reg.process,
	}
	cl.careful = !reg.acknowledged
	return cl
}

// alive notes that the client does more than register: it is ready for pushes as
// soon as its connections are.
func (cl *client) alive() {
	cl.roster.mu.Lock()
	defer cl.roster.mu.Unlock()
	if cl.waiting != nil && cl.waiting.Stop() {
		cl.waiting = time.AfterFunc(cl.opts.fresh, cl.ready)
	}
}

// stopWaiting keeps a client that has not been admitted from being. roster.mu is
// held.
func (cl *client) stopWaiting() {
	if cl.waiting != nil {
		cl.waiting.Stop()
		cl.waiting = nil
	}
}

// ready admits a client that has been waited for. If it is refused its connections
// are closed.
func (cl *client) ready() {
	cl.roster.mu.Lock()
	cl.waiting = nil
	cl.roster.mu.Unlock()
	if err := cl.admit(); err != nil {
		cl.Close(err)
	}
}

// admit makes the client known: from now on it is pushed to.
func (cl *client) admit() error {
	err := cl.acceptor.Accept(cl.cfg.Remote, func(cfg tunnel.Config) tunnel.Link {
		cl.open(cfg.OnEnd, cfg.OnGoAway)
		return cl
	})
	return err
}

// Close ends the session, and forgets it.
func (cl *client) Close(err error) {
	cl.link.Close(err)
	cl.roster.forget(cl)
}

// left notes that a connection of the client has gone. The session ends with the
// last.
func (cl *client) left(c *conn, reason error) {
	if cl.drop(c) {
		return
	}
	if reason != nil {
		reason = tunnel.NewError(status.Newf(codes.Unavailable, "pushtunnel: the connection was lost: %v", reason), tunnel.OutcomeAnswered, reason)
	}
	cl.end(reason, c.lost(reason))
	cl.roster.forget(cl)
}

// limit closes the connections that have been silent for the longest, if there
// are more than most.
func (cl *client) limit(most int) {
	cl.mu.Lock()
	var surplus *conn
	if len(cl.conns) > most && most > 0 {
		surplus = slices.MinFunc(cl.conns, func(a, b *conn) int { return int(a.heard.Load() - b.heard.Load()) })
	}
	cl.mu.Unlock()
	if surplus != nil {
		surplus.close(surplus.lost(errSurplus))
	}
}
