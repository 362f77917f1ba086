package page

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/pushtunnel/pushtunnel/server"
)

const (
	defaultStreams = 32
	// interval is the time between two looks at the sessions.
	interval = time.Second
	// patience is how long a browser may take to take a message.
	patience = 10 * time.Second
)

// Page is an http.Handler: the page of one server.Server. All methods may be called by
// any goroutine.
type Page struct {
	opts   options
	static *http.ServeMux
	push   atomic.Pointer[server.Server]
	recent recent
	hub    hub
}

// Option sets up a Page.
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

type options struct {
	hosts   map[string]bool
	streams int
	methods func() []Method
}

// WithHosts adds names under which the page may be asked for, like
// "tunnels.example.com", without a port. Without this the page answers to IP
// addresses and to localhost alone. A page elsewhere could otherwise have its own name
// point to this server, and read in the operator's browser what only the operator may
// see.
func WithHosts(names ...string) Option {
	return optionFunc(func(o *options) {
		for _, name := range names {
			o.hosts[plainHost(name)] = true
		}
	})
}

// WithMaxStreams sets how many pages are kept up to date at a time. One more is told so,
// with 503. The default is 32; 0 is no limit.
func WithMaxStreams(n int) Option { return optionFunc(func(o *options) { o.streams = n }) }

// Method is the calls to clients of a method.
type Method struct {
	Name     string // the full one
	InFlight int64  // under way, those that wait for a client included
	Ended    uint64 // so far
	Failed   uint64 // of these
}

// WithMethods sets who knows the calls of each method: the page shows none without it,
// since a server does not count them. It is called once a second while a page is open;
// metrics.Metrics.Calls has what it takes.
func WithMethods(methods func() []Method) Option {
	return optionFunc(func(o *options) { o.methods = methods })
}

// New returns the page of a server that is yet to be made, with Page.Option. Close it.
func New(opts ...Option) *Page {
	p := &Page{opts: options{hosts: make(map[string]bool), streams: defaultStreams}}
	for _, o := range opts {
		o.apply(&p.opts)
	}
	p.static = static()
	p.hub.init(p.opts.streams, p.look)
	return p
}

// Option makes server.New tell the page what happens. It adds hooks, which cost a
// session that comes and goes less than a microsecond, and calls nothing.
func (p *Page) Option() server.Option {
	return server.WithHooks(server.Hooks{
		Created:      func(s *server.Server) { p.push.Store(s) },
		Connected:    p.recent.connected,
		Disconnected: p.recent.disconnected,
		Refused:      p.recent.refused,
	})
}

// Close ends what keeps pages up to date, and waits until it has ended: up to 10 s for a
// browser that does not read. Browsers go on asking, and get 503. Call it before
// http.Server.Shutdown, which waits for open pages, or after http.Server.Close.
func (p *Page) Close() { p.hub.close() }
