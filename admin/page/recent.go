package page

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/server"
)

// kept is how many of the last disconnects, and of the last refusals, are kept.
const kept = 50

// maxText is how many bytes are kept and shown of a text that a client may have made.
const maxText = 255

// recent is who has gone, and who was not let in. It keeps texts alone: nothing of it
// holds a session.
type recent struct {
	came, went, denied atomic.Uint64 // so many, so far

	mu       sync.Mutex // guards what follows
	ends     ring
	refusals ring
}

// departure is a session that has ended, or a client that was refused.
type departure struct {
	Number    uint64 `json:"n"`  // counts them
	Time      int64  `json:"at"` // Unix, ms
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Protocol  string `json:"protocol,omitempty"`
	Address   string `json:"address,omitempty"`
	Session   string `json:"session,omitempty"` // the beginning of its id
	Lasted    int64  `json:"lasted,omitempty"`  // ms
	Reason    string `json:"reason"`            // in a word
	Text      string `json:"text,omitempty"`
}

// ring is the last departures.
type ring struct {
	all  []departure // number n is at n modulo kept
	next uint64
}

func (r *ring) add(d departure) {
	d.Number = r.next
	if len(r.all) < kept {
		r.all = append(r.all, d)
	} else {
		r.all[r.next%kept] = d
	}
	r.next++
}

// newestFirst returns a copy.
func (r *ring) newestFirst() []departure {
	out := make([]departure, 0, len(r.all))
	for i := range uint64(len(r.all)) {
		out = append(out, r.all[(r.next-1-i)%kept])
	}
	return out
}

func (r *recent) connected(*server.Session) { r.came.Add(1) }

func (r *recent) disconnected(s *server.Session, reason error) {
	r.went.Add(1)
	now, p := time.Now(), s.Peer()
	d := departure{
		Time: now.UnixMilli(), Name: clip(p.Name), Namespace: clip(p.Namespace), Protocol: clip(p.Protocol),
		Session: short(p.Session), Lasted: now.Sub(s.Since()).Milliseconds(),
		Reason: string(server.ReasonOf(reason)), Text: text(reason),
	}
	if p.Addr != nil {
		d.Address = clip(p.Addr.String())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends.add(d)
}

func (r *recent) refused(c server.Candidate, reason error) {
	r.denied.Add(1)
	d := departure{
		Time: time.Now().UnixMilli(), Name: clip(c.Name), Namespace: clip(c.Namespace), Protocol: clip(c.Protocol),
		Reason: status.Code(reason).String(), Text: text(reason),
	}
	if c.Peer != nil && c.Peer.Addr != nil {
		d.Address = clip(c.Peer.Addr.String())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals.add(d)
}

// lists returns the last ends and refusals, the newest first.
func (r *recent) lists() (ends, refusals []departure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ends.newestFirst(), r.refusals.newestFirst()
}

// text returns what a status says.
func text(err error) string {
	if err == nil {
		return ""
	}
	message := err.Error()
	if st := (interface{ GRPCStatus() *status.Status })(nil); errors.As(err, &st) {
		message = st.GRPCStatus().Message()
	}
	return clip(strings.TrimPrefix(message, "pushtunnel: "))
}

// clip returns a text of its own of maxText bytes at most, in valid UTF-8.
func clip(s string) string {
	if len(s) > maxText {
		cut := maxText - len("…")
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	} else {
		s = strings.Clone(s)
	}
	return strings.ToValidUTF8(s, "?")
}

// shown is how many characters of a session's id are shown, of 26.
const shown = 6

// short returns as much of a session's id as may be shown: who has the whole of it can
// take the session's place. An id that is too short to have a secret rest is not shown.
func short(id string) string {
	if len(id) < 4*shown {
		return ""
	}
	return clip(id[:shown])
}
