package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/device"
)

// eventPrinter prints what a client receives: a line for each message and each error for
// people, or a JSON object for each event for programs.
type eventPrinter struct {
	json bool

	// mu guards out.
	mu  sync.Mutex
	out io.Writer
}

// eventLine is an event as JSON.
type eventLine struct {
	Time     time.Time           `json:"time"`
	Call     int64               `json:"call"`
	Method   string              `json:"method"`
	Metadata map[string][]string `json:"metadata,omitempty"`
	Message  json.RawMessage     `json:"message,omitempty"`
	Bytes    *[]byte             `json:"bytes,omitempty"` // base64
	Code     string              `json:"code,omitempty"`  // of the end
	Text     string              `json:"text,omitempty"`
}

// event prints an event. It may be called by any goroutine.
func (p *eventPrinter) event(e device.Event) {
	text := textOf(e)
	if p.json {
		text = jsonOf(e)
	}
	if text == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.out, text)
}

// textOf is an event for people; empty if it goes without saying.
func textOf(e device.Event) string {
	begin := fmt.Sprintf("%s #%d %s", e.Time.Format(time.TimeOnly), e.Call, printable(e.Method))
	switch {
	case e.End != nil && e.End.Code() == codes.OK:
		return ""
	case e.End != nil:
		return fmt.Sprintf("%s %s: %s", begin, codeName(e.End.Code()), printable(e.End.Message()))
	case e.JSON != nil:
		return begin + " " + string(e.JSON)
	default:
		return fmt.Sprintf("%s %d bytes: %x", begin, len(e.Bytes), e.Bytes)
	}
}

// jsonOf is an event for programs.
func jsonOf(e device.Event) string {
	line := eventLine{Time: e.Time.UTC(), Call: e.Call, Method: e.Method, Metadata: e.Metadata}
	switch {
	case e.End != nil:
		line.Code, line.Text = codeName(e.End.Code()), e.End.Message()
	case e.JSON != nil:
		line.Message = e.JSON
	default:
		line.Bytes = &e.Bytes
	}
	data, err := json.Marshal(line)
	if err != nil {
		return ""
	}
	return string(data)
}
