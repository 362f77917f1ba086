package tunnel

import (
	"fmt"
	"strings"
	"testing"
)

// TestProtocolDocDirect compares what docs/PROTOCOL.md shows of the direct transport
// with what a client sends first.
func TestProtocolDocDirect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, conn := connPair(t, 0)
		transport, err := DialDirect(t.Context(), client, DirectOptions{Name: "kitchen"})
		if err != nil {
			t.Fatal(err)
		}
		dialling := start(t, func() error {
			_, err := Dial(t.Context(), transport, Config{Services: testService{}.services()})
			return err
		})
		if !dialling.running() {
			t.Fatal(dialling.err)
		}
		sent := make([]byte, 1000)
		n, err := conn.Read(sent)
		if err != nil {
			t.Fatal(err)
		}
		preface, batch := sent[:len(DirectPreface)], sent[len(DirectPreface):n]
		want := fmt.Sprintf("%-36s %q\n", fmt.Sprintf("% x", preface), preface) + explain(batch)
		doc := readProtocolDoc(t)
		if !strings.Contains(doc, "```\n"+want+"```\n") {
			t.Errorf("docs/PROTOCOL.md does not show the opening. It is:\n%s", want)
		}
		for _, name := range []string{ALPN, fmt.Sprintf("%x", DirectPreface)} {
			if !strings.Contains(strings.ReplaceAll(doc, " ", ""), strings.ReplaceAll(name, " ", "")) {
				t.Errorf("docs/PROTOCOL.md does not name %q", name)
			}
		}
		conn.Close()
		<-dialling.done
	})
}
