package browser

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is the environment variable that names the Chromium to test with.
const chromium = "PUSHTUNNEL_CHROMIUM"

// limit is how long a test may take at most.
const limit = time.Minute

// tab is a page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp's tabs are contexts
	// soon ends shortly before ctx, so that there is time to tell what is missing.
	soon context.Context //nolint:containedctx // used as a signal

	mu       sync.Mutex // guards what follows
	requests []string
	problems []string // what the console has said, and what a script has thrown
}

// open opens a page of this width. It skips the test if there is no Chromium.
func open(t *testing.T, width, height int64, url string) *tab {
	t.Helper()
	binary := os.Getenv(chromium)
	if binary == "" {
		t.Skipf("no Chromium: run make interop-browser, which sets %s", chromium)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(binary), chromedp.Flag("hide-scrollbars", true))
	if os.Geteuid() == 0 {
		opts = append(opts, chromedp.NoSandbox) // Chromium has none for root
	}
	soon, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	ctx, cancel := context.WithTimeout(context.Background(), limit+10*time.Second)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, soon: soon}
	if err := chromedp.Listen(ctx, b.heard); err != nil {
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	b.width(width, height)
	b.do(chromedp.Navigate(url))
	return b
}

func call[P, R any](b *tab, command cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		b.t.Fatal(err)
	}
}

// heard notes what the browser tells.
func (b *tab) heard(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *log.EventEntryAdded:
		b.problems = append(b.problems, fmt.Sprint(e.Entry.Level, ": ", e.Entry.Text, " ", e.Entry.URL))
	case *runtime.EventConsoleAPICalled:
		b.problems = append(b.problems, fmt.Sprint(e.Type, " ", len(e.Args)))
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.URL, ":", e.ExceptionDetails.LineNumber))
	}
}

// forget drops the problems that there were.
func (b *tab) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = nil
}

// wantNoProblems checks that the console is empty, and that nothing was asked for
// elsewhere.
func (b *tab) wantNoProblems(origin string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Errorf("the browser says: %s", p)
	}
	for _, url := range b.requests {
		if !strings.HasPrefix(url, origin+"/") {
			b.t.Errorf("got a request for %s, want none outside %s", url, origin)
		}
	}
	if len(b.requests) < 5 {
		b.t.Errorf("got %d requests, %q; want the page, its files and the stream", len(b.requests), b.requests)
	}
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// width makes the page so many pixels wide and high.
func (b *tab) width(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height, chromedp.EmulateScale(1)))
}

func (b *tab) click(selector chromedp.CSS) {
	b.t.Helper()
	b.do(chromedp.Click(selector))
}

func (b *tab) write(selector chromedp.CSS, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(selector, text))
}

// until waits until an expression is true.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	look := time.NewTicker(30 * time.Millisecond)
	defer look.Stop()
	for !is[bool](b, "Boolean("+expression+")") {
		select {
		case <-look.C:
		case <-b.ctx.Done():
			b.t.Fatalf("%s: %v", what, context.Cause(b.ctx))
		case <-b.soon.Done():
			b.t.Fatalf("%s: not there; the page has:\n%s", what, is[string](b, "document.body.innerText"))
		}
	}
}

// is returns what an expression is.
func is[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// run runs a script.
func (b *tab) run(script string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](script))
}

// names are the names of the sessions that are shown, as a JavaScript expression.
const names = `[...document.querySelectorAll('#rows .client .title')].map((e) => e.textContent)`

// row is the row of a session, as a JavaScript expression.
func row(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('#rows tr')].find((r) => r.querySelector('.title').textContent === %q)`, name)
}
