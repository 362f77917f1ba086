package page

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// policy lets the page have what is its own and nothing else, and lets nobody put it
// into a frame. No text becomes HTML, anywhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// ServeHTTP serves the page, what belongs to it, and the stream that keeps it up to
// date. It answers GET and HEAD.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "pushtunnel: the page only shows: use GET", http.StatusMethodNotAllowed)
		return
	}
	if !p.serves(r.Host) {
		http.Error(w, fmt.Sprintf("pushtunnel: the admin page does not answer to the name %q: use an address or localhost, "+
			"or allow the name (--admin-host, page.WithHosts)", clip(r.Host)), http.StatusMisdirectedRequest)
		return
	}
	if r.URL.Path != streamPath {
		p.static.ServeHTTP(w, r)
		return
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		http.Error(w, "pushtunnel: other sites may not read this", http.StatusForbidden)
		return
	}
	p.stream(w, r)
}

// serves reports whether the page answers to the host that a request names.
func (p *Page) serves(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]") // there is no port
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = plainHost(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || p.opts.hosts[host]
}

// plainHost makes names of the same host the same text.
func plainHost(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }
