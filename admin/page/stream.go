package page

import (
	"errors"
	"net/http"
	"time"
)

// streamPath is where the stream is. In the page it is relative.
const streamPath = "/live"

// stream sends a document at once, and then one for each sample, until the browser
// goes, does not read, or the page is closed.
func (p *Page) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if p.push.Load() == nil {
		http.Error(w, "pushtunnel: the page has no server: give Page.Option to server.New", http.StatusServiceUnavailable)
		return
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	if err := p.hub.enter(); err != nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer p.hub.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep the documents to itself
	out := http.NewResponseController(w)
	for s, changed := p.hub.latest(); ; s, changed = p.hub.latest() {
		if s != nil {
			if err := send(w, out, s.document(q)); err != nil {
				return
			}
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-p.hub.closing:
			return
		}
	}
}

// send sends a message, in the time that it may take.
func send(w http.ResponseWriter, out *http.ResponseController, message []byte) error {
	// A handler that wraps this one may have no deadlines: then it is its own to care.
	if err := out.SetWriteDeadline(time.Now().Add(patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := w.Write(message); err != nil {
		return err
	}
	return out.Flush()
}
