package browser

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
)

func labels(pairs ...string) client.Option {
	all := make(map[string]string)
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		all[k] = v
	}
	return client.WithLabels(all)
}

// The page shows a client that comes, a call that is under way, and why a client has
// gone, without being loaded again.
func TestLive(t *testing.T) {
	s := serve(t)
	b := open(t, 1280, 900, s.admin+"/")
	b.until("the first document", `document.querySelector('#state').dataset.state === 'live'`)
	b.until("a word for beginners", `!document.querySelector('#first').hidden && document.querySelector('#first').innerText.includes('pushtunnel connect c1')`)
	b.run(`window.loaded = 'once'`)

	kitchen := s.connect(t, kind{name: "kitchen"})
	b.until("the client that has come", row("kitchen")+` && document.querySelector('#first').hidden`)
	b.until("a round trip", row("kitchen")+`.trip.textContent.endsWith(' ms')`)

	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	called := make(chan error, 1)
	caller := s.caller(t)
	go func() {
		_, err := caller.Notify(to(ctx, "kitchen", ""), &pb.NotifyRequest{Text: "wait"})
		called <- err
	}()
	b.until("the call under way", row("kitchen")+`.inFlight.textContent === '1'`)
	b.until("its method", `document.querySelector('#method-rows').innerText.includes('Notify')`)
	giveUp()
	<-called
	b.until("the end of the call", row("kitchen")+`.inFlight.textContent === '0'`)
	b.until("its failure", `document.querySelector('#method-rows tr').errors.title === '1 so far'`)

	kitchen.cut()
	b.until("the disconnect", `document.querySelector('#end-rows').innerText.includes('kitchen') && document.querySelectorAll('#rows tr').length === 0`)
	if got := is[string](b, `document.querySelector('#end-rows .reason').textContent`); got != "lost" && got != "left" {
		t.Errorf("got the reason %q, want that the client was lost or has left", got)
	}
	hall := s.connect(t, kind{name: "hall", protocol: "direct"})
	b.until("another client", row("hall"))
	hall.leave()
	b.until("its end", `document.querySelector('#end-rows li').innerText.includes('hall') && document.querySelector('#end-rows .reason').textContent === 'left'`)
	if got := is[string](b, `window.loaded`); got != "once" {
		t.Error("the page was loaded again")
	}
	b.wantNoProblems(s.admin)
}

// Searching and filtering choose sessions, the URL keeps them, and columns sort.
func TestFilter(t *testing.T) {
	s := serve(t)
	s.connect(t, kind{name: "lamp-1", opts: []client.Option{labels("region=eu", "tier=free")}})
	s.connect(t, kind{name: "lamp-2", protocol: "direct", opts: []client.Option{labels("region=us")}})
	s.connect(t, kind{name: "gate", opts: []client.Option{labels("region=eu"), client.WithNamespace("acme")}})
	b := open(t, 1280, 900, s.admin+"/")
	shown := func(what string, want ...string) {
		t.Helper()
		quoted := make([]string, len(want))
		for i, w := range want {
			quoted[i] = fmt.Sprintf("%q", w)
		}
		b.until(what, fmt.Sprintf(`JSON.stringify(%s) === JSON.stringify([%s])`, names, strings.Join(quoted, ",")))
	}
	shown("all", "gate", "lamp-1", "lamp-2")
	b.run(`document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '/', bubbles: true }))`)
	b.do(chromedp.KeyEvent("LAMP"))
	shown("a search", "lamp-1", "lamp-2")
	if got := is[string](b, `document.querySelector('#matched').textContent`); got != "2 of 3" {
		t.Errorf("got %q, want 2 of 3", got)
	}
	b.write(`[name=labels]`, "region=eu")
	shown("labels, too", "lamp-1")
	if got := is[string](b, `location.search`); got != "?q=LAMP&labels=region%3Deu" {
		t.Errorf("got the URL %q, want the filter in it", got)
	}
	b.do(chromedp.Reload())
	shown("after a reload", "lamp-1")
	b.click("#clear")
	shown("all again", "gate", "lamp-1", "lamp-2")
	b.until("the namespaces", `!document.querySelector('#namespaces').hidden`)
	b.click("#rows .namespace")
	shown("a namespace", "gate")
	b.click("#clear")
	shown("all again", "gate", "lamp-1", "lamp-2")
	b.run(`{ const s = document.querySelector('[name=protocol]'); s.value = 'direct'; s.dispatchEvent(new Event('change', { bubbles: true })); }`)
	shown("a protocol", "lamp-2")
	b.click("#clear")
	b.click(`th[data-sort=name] button`)
	shown("the other way round", "lamp-2", "lamp-1", "gate")
	b.click(`th[data-sort=age] button`)
	shown("the newest first", "gate", "lamp-2", "lamp-1")
	b.write(`[name=q]`, "nobody is called so")
	b.until("a word if there are none", `!document.querySelector('#none').hidden`)
	b.wantNoProblems(s.admin)

	b.click("#clear")
	b.write(`[name=labels]`, "=="+kb.Enter)
	b.until("what is wrong with a selector", `document.querySelector('#problem').innerText.includes('selector')`)
	b.click("#clear")
	b.until("that it is forgotten", `document.querySelector('#problem').hidden`)
	shown("all again", "gate", "lamp-2", "lamp-1")
}

// Names, labels and reasons are text, whatever is in them.
func TestHostileTexts(t *testing.T) {
	const evil = `<img src=x onerror=document.title='taken'><script>document.title='taken'</script>`
	s := serve(t, "--max-sessions-per-name=1")
	s.connect(t, kind{name: evil, opts: []client.Option{client.WithNamespace(evil), labels("a=" + evil)}})
	b := open(t, 1280, 900, s.admin+"/")
	b.until("the client", row(evil))
	for what, selector := range map[string]string{"namespace": "#rows .namespace", "label": "#rows .labels .chip"} {
		got := is[string](b, fmt.Sprintf("document.querySelector(%q).textContent", selector))
		if got = strings.TrimPrefix(got, "a="); got != evil {
			t.Errorf("got the %s %q, want %q", what, got, evil)
		}
	}
	other := s.refused(t, evil, evil)
	defer other()
	b.until("a refusal", `document.querySelector('#refusal-rows').textContent.includes('ResourceExhausted')`)
	b.click("#rows .labels .chip")
	b.until("the filter of the label", `document.querySelector('#matched').textContent === '1' && location.search.includes('labels=')`)
	if n := is[int](b, `document.querySelectorAll('main img, main script').length`); n != 0 {
		t.Errorf("got %d elements out of texts, want none", n)
	}
	if title := is[string](b, `document.title`); !strings.Contains(title, "pushtunnel") {
		t.Errorf("got the title %q: a script has run", title)
	}
	b.wantNoProblems(s.admin)
	if html := is[string](b, `document.documentElement.outerHTML`); !strings.Contains(html, "&lt;img") {
		t.Error("the texts are not in the page")
	}
}

// On a phone nothing is wider than the screen, and each session is a card.
func TestPhone(t *testing.T) {
	s := serve(t)
	long := strings.Repeat("a-very-long-name-", 14)
	s.connect(t, kind{name: long, opts: []client.Option{client.WithNamespace(strings.Repeat("n", 200)), labels("x="+strings.Repeat("v", 200), "region=eu")}})
	s.connect(t, kind{name: "lamp-1", protocol: "direct"})
	s.connect(t, kind{name: long + "2"}).leave()
	b := open(t, 390, 844, s.admin+"/")
	b.until("the clients", row("lamp-1")+` && document.querySelector('#end-rows li')`)
	for _, width := range []int64{390, 320, 600, 820, 1280} {
		b.width(width, 844)
		if got := is[int64](b, `document.documentElement.scrollWidth`); got > width {
			wide := is[[]string](b, `[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + '.' + e.className)`)
			t.Errorf("at %d pixels the page is %d wide: %v", width, got, slices.Compact(wide))
		}
	}
	b.width(390, 844)
	if got := is[string](b, `getComputedStyle(`+row("lamp-1")+`).display`); got != "grid" {
		t.Errorf("got a row that is a %s, want a card", got)
	}
	b.click("#more")
	small := is[[]string](b, `[...document.querySelectorAll('#filter input:not([type=checkbox]), #filter select')].filter((e) => e.offsetParent && e.getBoundingClientRect().height < 36).map((e) => e.name)`)
	if diff := cmp.Diff([]string{}, small); diff != "" {
		t.Errorf("fields that are too small for a finger (-want +got):\n%s", diff)
	}
	b.wantNoProblems(s.admin)
}

// A server that is gone is told of, and the page goes on by itself when it is back.
func TestRecovers(t *testing.T) {
	s := serve(t)
	s.connect(t, kind{name: "before"})
	b := open(t, 1280, 900, s.admin+"/?sort=age")
	b.until("the client", row("before"))
	b.wantNoProblems(s.admin)
	b.run(`window.loaded = 'once'`)
	s.stop(t)
	b.until("that it is gone", `document.querySelector('#state').textContent.includes('trying again')`)
	again := serve(t, "--listen="+s.addr, "--admin-listen="+strings.TrimPrefix(s.admin, "http://"))
	again.connect(t, kind{name: "after"})
	b.until("the new server's client", `document.querySelector('#state').dataset.state === 'live' && `+row("after"))
	if got := is[string](b, `window.loaded`); got != "once" {
		t.Error("the page was loaded again")
	}
	b.forget() // Chromium has told of the server that was not there
	b.wantNoProblems(s.admin)
}

// The pause stops the display and nothing else.
func TestPause(t *testing.T) {
	s := serve(t)
	b := open(t, 1280, 900, s.admin+"/")
	b.until("the first document", `document.querySelector('#state').dataset.state === 'live'`)
	b.click("#pause")
	s.connect(t, kind{name: "kitchen"})
	b.until("a document with the client", `last.totals.sessions === 1`)
	if got := is[int](b, `document.querySelectorAll('#rows tr').length`); got != 0 {
		t.Errorf("got %d rows while it pauses, want 0", got)
	}
	b.click("#pause")
	b.until("the client", row("kitchen"))
	b.wantNoProblems(s.admin)
}
