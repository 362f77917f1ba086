package page_test

import (
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/pushtunnel/pushtunnel/admin/page"
)

// All answers forbid the browser what the page does not need.
func TestHeaders(t *testing.T) {
	w := newWorld(t, nil)
	for path, kind := range map[string]string{
		"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript", "/icon.svg": "image/svg+xml", "/live": "text/event-stream", "/nothing": "text/plain",
	} {
		r := w.get(path, nil)
		r.Body.Close()
		if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != kind {
			t.Errorf("%s: got the type %q, want %q", path, got, kind)
		}
		policy := r.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'", "form-action 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: got the policy %q, want %q in it", path, policy, part)
			}
		}
		for key, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
			"Access-Control-Allow-Origin": "", "Set-Cookie": "",
		} {
			if got := r.Header.Get(key); got != want {
				t.Errorf("%s: got %s: %q, want %q", path, key, got, want)
			}
		}
	}
}

// The page shows and changes nothing.
func TestMethodsOfRequests(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{"/", "/live", "/page.js"} {
		for method, want := range map[string]int{
			http.MethodHead: http.StatusOK, http.MethodPost: http.StatusMethodNotAllowed, http.MethodPut: http.StatusMethodNotAllowed,
			http.MethodDelete: http.StatusMethodNotAllowed, http.MethodOptions: http.StatusMethodNotAllowed,
		} {
			r := w.get(path, func(r *http.Request) { r.Method = method })
			r.Body.Close()
			if r.StatusCode != want {
				t.Errorf("%s %s: got %s, want %d", method, path, r.Status, want)
			}
		}
	}
}

// A name that somebody else has pointed here gets nothing.
func TestHosts(t *testing.T) {
	w := newWorld(t, []page.Option{page.WithHosts("Tunnels.example.com")})
	for host, want := range map[string]int{
		"127.0.0.1": http.StatusOK, "127.0.0.1:7421": http.StatusOK, "[::1]:7421": http.StatusOK, "[::1]": http.StatusOK, "10.1.2.3": http.StatusOK,
		"localhost:7421": http.StatusOK, "LOCALHOST": http.StatusOK, "a.localhost": http.StatusOK,
		"tunnels.example.com": http.StatusOK, "TUNNELS.example.com.:80": http.StatusOK,
		"evil.example.com": http.StatusMisdirectedRequest, "evil.example.com:7421": http.StatusMisdirectedRequest,
		"127.0.0.1.evil.example.com": http.StatusMisdirectedRequest, "localhost.evil.example.com": http.StatusMisdirectedRequest, "notlocalhost": http.StatusMisdirectedRequest,
	} {
		for _, path := range []string{"/", "/live"} {
			r := w.get(path, func(r *http.Request) { r.Host = host })
			if r.StatusCode != want {
				t.Errorf("%s at %s: got %s, want %d", path, host, r.Status, want)
			}
			if want != http.StatusOK {
				if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), "--admin-host") {
					t.Errorf("got %q, want the cure", body)
				}
			}
			r.Body.Close()
		}
	}
}

// Other sites may link to the page, but not keep streams open.
func TestOtherSites(t *testing.T) {
	w := newWorld(t, nil)
	for site, want := range map[string]int{"": 200, "same-origin": 200, "none": 200, "cross-site": 403, "same-site": 403} {
		r := w.get("/live", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", site) })
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("the stream from %q: got %s, want %d", site, r.Status, want)
		}
		r = w.get("/", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", site) })
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Errorf("the page from %q: got %s, want 200", site, r.Status)
		}
	}
}

// What is wrong with a query is said.
func TestBadQueries(t *testing.T) {
	w := newWorld(t, nil)
	for query, want := range map[string]string{
		"labels=%3D%3D": "selector", "sort=taste": "sort is one of", "order=up": "order is", "newer=soon": "no duration", "older=-1h": "no duration",
		"q=" + strings.Repeat("a", 300): "a search has", "q=a+b+c+d+e+f+g+h+i": "a search has",
	} {
		r := w.get("/live?"+query, nil)
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != http.StatusBadRequest || !strings.HasPrefix(string(body), "pushtunnel: ") || !strings.Contains(string(body), want) {
			t.Errorf("%s: got %s and %q, want 400 and %q", query, r.Status, body, want)
		}
	}
}

// The page asks for nothing that is elsewhere, and makes no HTML of texts.
func TestAssets(t *testing.T) {
	w := newWorld(t, nil)
	size := 0
	for _, path := range []string{"/", "/page.css", "/page.js", "/icon.svg"} {
		r := w.get(path, nil)
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		size += len(body)
		for _, found := range regexp.MustCompile(`(https?:)?//[\w.]+\.\w+[^"' ]*`).FindAllString(string(body), -1) {
			if found != "http://www.w3.org/2000/svg" { // a name, not a place
				t.Errorf("%s has %q", path, found)
			}
		}
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "onclick=", "style="} {
			if strings.Contains(string(body), bad) {
				t.Errorf("%s has %q", path, bad)
			}
		}
		again := w.get(path, func(q *http.Request) { q.Header.Set("If-None-Match", r.Header.Get("ETag")) })
		again.Body.Close()
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: got %s the second time, want 304", path, again.Status)
		}
	}
	if size > 48<<10 {
		t.Errorf("the page has %d bytes, want it small", size)
	}
}

// A page whose option no server has says so.
func TestWithoutServer(t *testing.T) {
	p := page.New()
	defer p.Close()
	got := httptest.NewRecorder()
	p.ServeHTTP(got, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/live", http.NoBody))
	if got.Code != http.StatusServiceUnavailable || !strings.Contains(got.Body.String(), "Page.Option") {
		t.Errorf("got %d and %q, want the cure", got.Code, got.Body)
	}
}
