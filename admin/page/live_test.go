package page_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/admin/page"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// A document comes at once, and then one a second, with what has changed in that second.
func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var methods atomic.Pointer[[]page.Method]
		methods.Store(&[]page.Method{{Name: "/a.B/C", InFlight: 1, Ended: 10, Failed: 2}})
		w := newWorld(t, []page.Option{page.WithMethods(func() []page.Method { return *methods.Load() })})
		a := w.named("a")
		a.calls.Store(100)
		a.sent.Store(1000)
		l := w.open("")
		began := time.Now()
		d := l.next()
		if d.Rates || d.Totals.Sessions != 1 || d.Matched != 1 || len(d.Rows) != 1 || d.Rows[0].Calls != 0 || time.Since(began) != 0 {
			t.Errorf("got %+v after %v, want a session without rates at once", d, time.Since(began))
		}
		a.calls.Add(30)
		a.sent.Add(500)
		a.inFlight.Store(2)
		a.trip.Store(int64(5 * time.Millisecond))
		b := w.enter(tunnel.Peer{Name: "b", Namespace: "acme"})
		b.received.Store(70)
		methods.Store(&[]page.Method{{Name: "/a.B/C", InFlight: 3, Ended: 40, Failed: 3}, {Name: "/a.B/D", Ended: 5}})
		synctest.Wait()
		d = l.next()
		if got := time.Since(began); got != time.Second {
			t.Errorf("got the second document after %v, want it after 1s", got)
		}
		if !d.Rates || d.Totals.Sessions != 2 || d.Totals.Names != 2 || d.Totals.InFlight != 2 ||
			d.Totals.Calls != 30 || d.Totals.Sent != 500 || d.Totals.Received != 70 || d.Totals.Errors != 1 || d.Totals.Connects != 1 {
			t.Errorf("got the totals %+v", d.Totals)
		}
		if trips := d.Totals.Trips; trips.Sessions != 1 || trips.P50 != 5 || trips.Max != 5 {
			t.Errorf("got the round trips %+v, want 5 ms of a session", trips)
		}
		if r := d.Rows[0]; r.Name != "a" || r.Calls != 30 || r.Sent != 500 || r.InFlight != 2 || r.Trip != 5 {
			t.Errorf("got the session %+v", r)
		}
		if r := d.Rows[1]; r.Name != "b" || r.Namespace != "acme" || r.Received != 70 {
			t.Errorf("got the session %+v", r)
		}
		if m := d.Methods; len(m) != 2 || m[0].Name != "/a.B/C" || m[0].InFlight != 3 || m[0].Calls != 30 || m[0].Errors != 1 || m[1].Calls != 5 {
			t.Errorf("got the methods %+v", m)
		}
		a.Close(nil)
		synctest.Wait()
		if d = l.next(); d.Totals.Sessions != 1 || d.Totals.Disconnects != 1 || d.Totals.Connects != 0 || d.Rows[0].Received != 0 || len(d.Ends) != 1 {
			t.Errorf("got %+v, want one session less", d)
		}
	})
}

// Nobody looks at the sessions when no page is open, and once for all that are.
func TestLooksOnlyForPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		w := newWorld(t, []page.Option{page.WithMethods(func() []page.Method { looks.Add(1); return nil })})
		w.named("a")
		time.Sleep(time.Minute) // of the bubble
		if looks := looks.Load(); looks != 0 {
			t.Errorf("got %d looks without a page, want none", looks)
		}
		pages := []*live{w.open(""), w.open("q=a"), w.open("q=b")}
		for range 5 {
			for _, l := range pages {
				l.next()
			}
		}
		synctest.Wait()
		if looks := looks.Load(); looks != 5 {
			t.Errorf("got %d looks in 4 s for 3 pages, want 5", looks)
		}
		for _, l := range pages {
			l.close()
		}
		time.Sleep(time.Minute)
		if looks := looks.Load(); looks > 6 {
			t.Errorf("got %d looks after the pages were closed, want no more", looks)
		}
		if d := w.once(""); d.Rates {
			t.Error("a new page has rates of an old one")
		}
	})
}

// Those who have gone are told of with the reason, the newest first, and only the last.
func TestDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for i := range 60 {
			w.named(fmt.Sprint("c", i)).Close(nil)
			synctest.Wait()
		}
		lost := w.enter(tunnel.Peer{Name: "lost", Namespace: "acme"})
		time.Sleep(3 * time.Second)
		lost.Close(status.Error(codes.Unavailable, "pushtunnel: the line was cut "+strings.Repeat("!", 1000)))
		synctest.Wait()
		d := w.once("")
		if len(d.Ends) != 50 || d.Ends[49].Name != "c11" {
			t.Fatalf("got %d disconnects down to %+v, want 50 down to c11", len(d.Ends), d.Ends[len(d.Ends)-1])
		}
		e := d.Ends[0]
		if e.N != 60 || e.Name != "lost" || e.Namespace != "acme" || e.Protocol != "door" || e.Reason != "lost" || e.Lasted != 3000 ||
			!strings.HasPrefix(e.Text, "the line was cut !") || len(e.Text) > 255 || len(e.Session) != 6 {
			t.Errorf("got %+v", e)
		}
		if e := d.Ends[1]; e.N != 59 || e.Name != "c59" || e.Reason != "left" || e.Text != "" {
			t.Errorf("got %+v, want that c59 has left", e)
		}
	})
}

// Clients that are not let in are told of, too.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, server.WithMaxSessionsPerName(1))
		w.named("a")
		if err := w.acceptor.Accept(tunnel.Peer{Name: "a"}, func(cfg tunnel.Config) tunnel.Link { return &link{cfg: cfg, done: make(chan struct{})} }); err == nil {
			t.Fatal("a second session was let in")
		}
		d := w.once("")
		if len(d.Refusals) != 1 || d.Refusals[0].Name != "a" || d.Refusals[0].Reason != "ResourceExhausted" || !strings.Contains(d.Refusals[0].Text, "sessions_per_name") {
			t.Errorf("got %+v, want that a was refused", d.Refusals)
		}
	})
}

// A document has a bounded size, whatever clients say. The whole id of a session is
// never in it.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, subjects(nil))
		labels := make(map[string]string)
		for i := range 64 {
			labels[fmt.Sprintf("%063d", i)] = strings.Repeat("\u2028", 85)
		}
		ids := []string{}
		for i := range 300 {
			p := tunnel.Peer{Name: fmt.Sprintf("%0255d", i), Namespace: fmt.Sprintf("%0255d", i), Labels: labels}
			l := w.enter(p)
			ids = append(ids, l.cfg.Remote.Session)
			if i < 100 {
				l.Close(status.Error(codes.Unavailable, strings.Repeat("\xff<", 5000)))
			}
		}
		synctest.Wait()
		l := w.open("")
		d := l.next()
		if d.Matched != 200 || len(d.Rows) != 100 || len(d.Ends) != 50 || len(d.Totals.Namespaces) != 20 {
			t.Errorf("got %d sessions of %d, %d disconnects and %d namespaces", len(d.Rows), d.Matched, len(d.Ends), len(d.Totals.Namespaces))
		}
		if r := d.Rows[0]; len(r.Labels) != 8 || r.More != 56 || len(r.Subject) > 255 {
			t.Errorf("got %d labels, %d more, and a subject of %d bytes", len(r.Labels), r.More, len(r.Subject))
		}
		if len(l.raw) > 700<<10 {
			t.Errorf("got a document of %d bytes", len(l.raw))
		}
		t.Logf("the largest document: %d bytes", len(l.raw))
		for _, id := range ids {
			if strings.Contains(l.raw, id[:7]) {
				t.Fatalf("the document has more than 6 characters of the id %s", id)
			}
		}
	})
}

// So many streams and no more; the next is told why, and gets in when one has gone.
func TestMaxStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []page.Option{page.WithMaxStreams(2)})
		first := w.open("")
		w.open("").next()
		r := w.get("/live", nil)
		body, _ := io.ReadAll(r.Body)
		if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "2 pages are open") {
			t.Errorf("got %s and %q, want that there are too many", r.Status, body)
		}
		r.Body.Close()
		first.close()
		synctest.Wait()
		w.open("").next()
	})
}

// A browser that does not read is given up, and holds up nobody.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []page.Option{page.WithMaxStreams(2)})
		for i := range 100 {
			w.named(fmt.Sprint("a client with a longer name, number ", i))
		}
		w.open("") // is not read: the connection holds 1 KiB
		l := w.open("")
		for range 20 {
			l.next()
		}
		w.open("").next() // there is room again
	})
}

// Close ends the streams, and there are no more. The bubble shows that nothing is left.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		l := w.open("")
		l.next()
		w.page.Close()
		for l.scanner.Scan() {
		}
		if err := l.scanner.Err(); err != nil {
			t.Errorf("got %v, want a stream that ends in order", err)
		}
		r := w.get("/live", nil)
		if body, _ := io.ReadAll(r.Body); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "stopping") {
			t.Errorf("got %s and %q after Close, want 503", r.Status, body)
		}
		r.Body.Close()
		r = w.get("/", nil)
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Errorf("got %s, want the page itself", r.Status)
		}
		w.page.Close()
	})
}

// Filters choose, and orders sort.
func TestFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, subjects(map[string]string{"gate": "house-7"}))
		old := w.enter(tunnel.Peer{Name: "Lamp-1", Labels: map[string]string{"region": "eu", "beta": ""}})
		time.Sleep(2 * time.Hour)
		busy := w.enter(tunnel.Peer{Name: "lamp-2", Labels: map[string]string{"region": "us"}, Addr: addr("10.0.0.7:99")})
		w.enter(tunnel.Peer{Name: "gate", Namespace: "acme", Labels: map[string]string{"region": "eu"}})
		busy.inFlight.Store(2)
		busy.trip.Store(1000)
		old.trip.Store(2000)
		synctest.Wait()
		for _, test := range []struct {
			query string
			want  []string
		}{
			{"", []string{"Lamp-1", "gate", "lamp-2"}},
			{"q=LAMP", []string{"Lamp-1", "lamp-2"}},
			{"q=lamp+us", []string{"lamp-2"}},
			{"q=region=eu", []string{"Lamp-1", "gate"}},
			{"q=house-7", []string{"gate"}},
			{"q=acme", []string{"gate"}},
			{"q=10.0.0.7", []string{"lamp-2"}},
			{"q=nobody", []string{}},
			{"q=" + old.cfg.Remote.Session, []string{"Lamp-1"}},
			{"q=" + strings.ToLower(old.cfg.Remote.Session[:6]), []string{"Lamp-1"}},
			{"q=" + old.cfg.Remote.Session[:7], []string{}}, // nobody finds out the rest
			{"namespace=acme", []string{"gate"}},
			{"namespace=", []string{"Lamp-1", "lamp-2"}},
			{"protocol=grpc", []string{}},
			{"protocol=door", []string{"Lamp-1", "gate", "lamp-2"}},
			{"labels=region+in+(eu),beta", []string{"Lamp-1"}},
			{"labels=!beta", []string{"gate", "lamp-2"}},
			{"newer=1h", []string{"gate", "lamp-2"}},
			{"older=1h", []string{"Lamp-1"}},
			{"busy=1", []string{"lamp-2"}},
			{"order=desc", []string{"lamp-2", "gate", "Lamp-1"}},
			{"sort=age", []string{"gate", "lamp-2", "Lamp-1"}},
			{"sort=age&order=desc", []string{"Lamp-1", "lamp-2", "gate"}},
			{"sort=inflight", []string{"lamp-2", "Lamp-1", "gate"}},
			{"sort=trip", []string{"Lamp-1", "lamp-2", "gate"}},
			{"sort=calls", []string{"Lamp-1", "lamp-2", "gate"}},
			{"sort=bytes&order=asc", []string{"Lamp-1", "lamp-2", "gate"}},
		} {
			d := w.once(test.query)
			if diff := cmp.Diff(test.want, d.names()); diff != "" || d.Matched != len(test.want) || d.Totals.Sessions != 3 {
				t.Errorf("%s: matched %d of %d (-want +got):\n%s", test.query, d.Matched, d.Totals.Sessions, diff)
			}
		}
	})
}

// Of many sessions the first are shown, in the same order whatever order they came in.
func TestFirstOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var want []string
		for i := range 500 {
			w.named(fmt.Sprintf("%03d", i*7919%500))
			want = append(want, fmt.Sprintf("%03d", i))
		}
		synctest.Wait()
		if diff := cmp.Diff(want[:100], w.once("").names()); diff != "" {
			t.Errorf("ascending (-want +got):\n%s", diff)
		}
		slices.Reverse(want)
		d := w.once("order=desc")
		if diff := cmp.Diff(want[:100], d.names()); diff != "" || d.Matched != 500 {
			t.Errorf("descending, of %d (-want +got):\n%s", d.Matched, diff)
		}
	})
}

// addr is a network address.
type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

// subjects lets clients be who they say they are, with these subjects for their names,
// and a very long one for the others.
func subjects(of map[string]string) server.Option {
	return server.WithIdentity(func(_ context.Context, c server.Candidate) (server.Identity, error) {
		id := server.Identity{Name: c.Name, Namespace: c.Namespace, Labels: c.Labels, Subject: of[c.Name]}
		if of == nil {
			id.Subject = c.Name + strings.Repeat("s", 5000)
		}
		return id, nil
	})
}
