package tunnel

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	notifierpb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// The tests of this file fail when docs/PROTOCOL.md and the code disagree.

func readProtocolDoc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestProtocolDocExample compares the worked example with what a session sends.
func TestProtocolDocExample(t *testing.T) {
	doc := readProtocolDoc(t)
	client, server := exampleBatches(t)
	for _, part := range []struct {
		name  string
		batch []byte
	}{
		{"the client's hello", client[0]},
		{"the server's hello", server[0]},
		{"the call", server[1]},
		{"the answer", client[1]},
	} {
		if want := explain(part.batch); !strings.Contains(doc, "```\n"+want+"```\n") {
			t.Errorf("docs/PROTOCOL.md does not show %s. It is:\n%s", part.name, want)
		}
	}
}

// exampleBatches returns what the two ends of a session send in the worked
// example.
func exampleBatches(t *testing.T) (client, server [][]byte) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		dialled, accepted := &recorder{Transport: a}, &recorder{Transport: b}
		services := &Services{}
		notifierpb.RegisterNotifierServer(services, exampleNotifier{})
		go func() {
			s, err := Accept(t.Context(), accepted, Config{Remote: Peer{Name: "kitchen", Session: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}})
			if err != nil {
				t.Error(err)
				return
			}
			s.Welcome()
			synctest.Wait() // or the hello and the call go out in one batch
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			ctx = metadata.AppendToOutgoingContext(ctx, "lang", "en")
			_, err = notifierpb.NewNotifierClient(s).Notify(ctx, &notifierpb.NotifyRequest{Text: "Dinner is ready"})
			if err != nil {
				t.Error(err)
			}
			s.Close(nil)
		}()
		s, err := Dial(t.Context(), dialled, Config{Services: services})
		if err != nil {
			t.Fatal(err)
		}
		<-s.Done()
		synctest.Wait()
		client, server = dialled.batches, accepted.batches
	})
	if len(client) < 2 || len(server) < 2 {
		t.Fatalf("got %d and %d batches, want at least 2 each", len(client), len(server))
	}
	return client, server
}

type exampleNotifier struct {
	notifierpb.UnimplementedNotifierServer
}

func (exampleNotifier) Notify(context.Context, *notifierpb.NotifyRequest) (*notifierpb.NotifyResponse, error) {
	return &notifierpb.NotifyResponse{Display: "kitchen"}, nil
}

// recorder notes what is sent.
type recorder struct {
	Transport
	mu      sync.Mutex
	batches [][]byte
}

func (r *recorder) Send(batch mem.Buffer) (more bool, err error) {
	r.mu.Lock()
	r.batches = append(r.batches, append([]byte(nil), batch.ReadOnlyData()...))
	r.mu.Unlock()
	return r.Transport.Send(batch)
}

// explain prints a batch in hex, a line for each field.
func explain(batch []byte) string {
	var out strings.Builder
	explainMessage(&out, batch, (&pb.Batch{}).ProtoReflect().Descriptor(), 0)
	return out.String()
}

func explainMessage(out *strings.Builder, b []byte, desc protoreflect.MessageDescriptor, depth int) {
	line := func(bytes []byte, format string, args ...any) {
		hex := strings.Repeat("  ", depth) + fmt.Sprintf("% x", bytes)
		fmt.Fprintf(out, "%-36s %s%s\n", hex, strings.Repeat("  ", depth), fmt.Sprintf(format, args...))
	}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		field := desc.Fields().ByNumber(num)
		if typ == protowire.VarintType {
			v, m := protowire.ConsumeVarint(b[n:])
			line(b[:n+m], "%s = %d", field.Name(), v)
			b = b[n+m:]
			continue
		}
		v, m := protowire.ConsumeBytes(b[n:])
		head := b[:n+m-len(v)]
		b = b[n+m:]
		line(head, "%s, %d bytes", field.Name(), len(v))
		if field.Message() != nil {
			explainMessage(out, v, field.Message(), depth+1)
			continue
		}
		depth++
		for len(v) > 0 {
			row := v[:min(8, len(v))]
			v = v[len(row):]
			line(row, "%q", row)
		}
		depth--
	}
}

// TestProtocolDocPhases compares the drawing of a call's phases with the code.
func TestProtocolDocPhases(t *testing.T) {
	events := map[string]event{
		"header": eventHeader, "message": eventWhole, "first piece": eventFirst, "piece": eventPiece,
		"last piece": eventLast, "half_close": eventHalfClose, "end OK": eventEnd, "end failed": eventFail,
	}
	drawn := map[string]string{} // the next phase, by phase and event
	for line := range strings.SplitSeq(readProtocolDoc(t), "\n") {
		edge, labels, ok := strings.Cut(strings.TrimSpace(line), " : ")
		from, to, isEdge := strings.Cut(edge, " --> ")
		if !ok || !isEdge || from == "[*]" {
			continue
		}
		for label := range strings.SplitSeq(labels, ", ") {
			if _, known := events[label]; known {
				drawn[from+" "+label] = to
			}
		}
	}
	for _, from := range []phase{phaseHeader, phaseMessages, phasePieces, phaseClosed} {
		for label, e := range events {
			to, err := from.next(e)
			want := to.String()
			if err != nil {
				want = ""
			}
			if got := drawn[from.String()+" "+label]; got != want {
				t.Errorf("%s in the phase %s: docs/PROTOCOL.md leads to %q, the code to %q", label, from, got, want)
			}
		}
	}
}

// TestProtocolDocWindows plays the worked numbers of flow control: a message of
// 100,000 bytes on a window of 64 KiB, to a reader that waits for it, far away:
// what it gives back comes when the sender has had to stop.
func TestProtocolDocWindows(t *testing.T) {
	const size = 100_000
	send := sendWindow{left: defaultCallWindow}
	budget := budget{}
	budget.left.Store(defaultMaxBuffered)
	in := inbox{budget: &budget, maxWindow: defaultMaxCallWindow, win: newRecvWindow(defaultCallWindow)}
	var rows strings.Builder
	given := uint64(0)
	for sent := 0; sent < size; {
		first := sent == 0
		n, ok := send.next(size-sent, first)
		if !ok {
			t.Fatalf("the sender is stuck with a window of %d after %d bytes", send.left, sent)
		}
		send.spend(n, first)
		sent += n
		_, more := send.next(size-sent, false)
		blocked := sent < size && !more
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", commas(n), commas(int(cost(n, first))), commas(int(send.left)),
			map[bool]string{true: "blocked", false: ""}[blocked])
		given += in.win.consume(cost(n, first))
		if blocked {
			given += in.grow(piece{blocked: true})
			if err := send.add(given); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&rows, "| | | %s | window %s |\n", commas(int(send.left)), commas(int(given)))
			given = 0
		}
	}
	if !strings.Contains(readProtocolDoc(t), rows.String()) {
		t.Errorf("docs/PROTOCOL.md does not show these windows:\n%s", &rows)
	}
}

// TestProtocolDocLimits compares the table of limits with the code.
func TestProtocolDocLimits(t *testing.T) {
	doc := readProtocolDoc(t)
	for name, value := range map[string]int{
		"batch, at most":                    wire.MaxBatch,
		"batch, better no more":             streamBatch,
		"piece, at most":                    wire.MaxPiece,
		"message cost besides its bytes":    wire.MessageOverhead,
		"pair cost besides key and value":   wire.PairOverhead,
		"metadata limit, at most":           wire.MaxMetadata,
		"call window, at least":             wire.MinCallWindow,
		"call window, counted at most":      maxWindow,
		"window of a call, all in all":      1<<31 - 1,
		"received, at the latest after":     ackEvery,
		"unconfirmed bytes, at first":       minTransit,
		"unconfirmed bytes, at most":        maxTransit,
		"pings at once":                     pingBurst,
		"client name, at most":              MaxName,
		"labels, at most":                   MaxLabels,
		"label key, at most":                MaxLabelKey,
		"label value, at most":              MaxLabelValue,
		"call window by default":            defaultCallWindow,
		"grown call window by default":      defaultMaxCallWindow,
		"shared buffer by default":          defaultMaxBuffered,
		"calls at a time by default":        defaultMaxCalls,
		"metadata limit by default":         defaultMaxMetadata,
		"received message by default":       defaultMaxRecvMsgSize,
		"heartbeat by default, seconds":     int(defaultHeartbeat.Seconds()),
		"wait for a hello, seconds":         int(defaultHandshakeTimeout.Seconds()),
		"parting of a stream, milliseconds": int(partingTime.Milliseconds()),
	} {
		if row := fmt.Sprintf("| %s | %s |", name, commas(value)); !strings.Contains(doc, row) {
			t.Errorf("docs/PROTOCOL.md lacks the row %q", row)
		}
	}
}

func commas(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
