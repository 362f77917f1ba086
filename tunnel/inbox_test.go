package tunnel

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// countedPool makes batches and counts those that have not been freed.
type countedPool struct{ out, bytes atomic.Int64 }

func (p *countedPool) Get(n int) *[]byte {
	b := make([]byte, n, max(n, 2<<10)) // gRPC does not count smaller ones
	p.out.Add(1)
	p.bytes.Add(int64(cap(b)))
	return &b
}

func (p *countedPool) Put(b *[]byte) {
	p.out.Add(-1)
	p.bytes.Add(-int64(cap(*b)))
	clear((*b)[:cap(*b)]) // who reads it now reads nonsense
}

// batch returns a batch with these contents.
func (p *countedPool) batch(data []byte) mem.Buffer {
	b := p.Get(len(data))
	copy(*b, data)
	return mem.NewBuffer(b, p)
}

// inboxModel is an inbox with its sender, and what both should have in them.
type inboxModel struct {
	in     inbox
	pool   countedPool
	budget budget
	cfg    Config

	send    sendWindow
	rest    []byte   // what the message under way still lacks
	first   bool     // nothing of it has been sent
	want    [][]byte // messages put and not taken; the last may be under way
	under   bool     // it is
	tooBig  bool     // the last of want is above the limit
	closed  error
	failed  bool // absorb has failed
	dropped bool
	next    byte
}

func newInboxModel(cfg Config) *inboxModel {
	m := &inboxModel{cfg: cfg.WithDefaults()}
	m.budget.left.Store(m.cfg.MaxBuffered)
	m.in.init(&m.cfg, &m.budget, phaseMessages, m.cfg.MaxRecvMsgSize)
	m.send.left = m.cfg.CallWindow
	return m
}

// put sends the next piece of the message under way, as far as the window goes.
func (m *inboxModel) put(t *rapid.T) bool {
	n, ok := m.send.next(len(m.rest), m.first)
	if !ok {
		return false
	}
	if !m.first || n < len(m.rest) { // smaller pieces are allowed, too
		n = rapid.IntRange(1, n).Draw(t, "piece")
	}
	m.send.spend(n, m.first)
	f := wire.Frame{CallID: 1, Parts: wire.PartMessage}
	if m.first && n < len(m.rest) {
		f.MessageSize = uint64(len(m.rest))
	}
	f.Blocked = n < len(m.rest) && rapid.Bool().Draw(t, "blocked")
	junk := rapid.SampledFrom([]int{0, 10, 3000, 100_000}).Draw(t, "junk")
	batch := m.pool.batch(append(append(make([]byte, junk), m.rest[:n]...), 1, 2, 3))
	f.Message = batch.ReadOnlyData()[junk : junk+n]
	m.in.mu.Lock()
	err := m.in.putMessage(&f, batch)
	m.in.mu.Unlock()
	batch.Free()
	if err != nil {
		t.Fatalf("a piece of %d bytes: got the error %v, want none", n, err)
	}
	m.rest, m.first = m.rest[n:], false
	m.under = len(m.rest) > 0
	return true
}

// take takes a message if one is complete, and compares it with the model.
func (m *inboxModel) take(t *rapid.T) {
	m.in.mu.Lock()
	msg, grant := m.in.absorb()
	closed := m.in.closed
	m.in.mu.Unlock()
	if grant > 0 {
		if err := m.send.add(grant); err != nil {
			t.Fatal(err)
		}
	}
	complete := len(m.want)
	if m.under || m.tooBig {
		complete--
	}
	switch {
	case m.dropped || m.failed:
		if msg != nil || closed == nil {
			t.Fatalf("after the end: got a message: %v and the error %v, want an error", msg != nil, closed)
		}
	case msg != nil:
		if complete == 0 {
			t.Fatal("got a message, want none")
		}
		if got := msg.Materialize(); !bytes.Equal(got, m.want[0]) {
			t.Fatalf("got a message of %d bytes that begins with %.4x, want %d bytes and %.4x", len(got), got, len(m.want[0]), m.want[0])
		}
		msg.Free()
		m.want = m.want[1:]
	case status.Code(closed) == codes.ResourceExhausted && strings.Contains(closed.Error(), `the limit "buffered"`):
		m.failed = true
		if int64(len(m.want[0])) <= m.in.win.size {
			t.Fatalf("got no room for a message of %d bytes, want it to fit in a window of %d", len(m.want[0]), m.in.win.size)
		}
	case complete > 0:
		t.Fatalf("got no message and the error %v, want a message of %d bytes", closed, len(m.want[0]))
	case m.tooBig:
		m.failed = true
		if status.Code(closed) != codes.ResourceExhausted || !strings.Contains(closed.Error(), "larger than max") {
			t.Fatalf("a message above the limit: got the error %v, want RESOURCE_EXHAUSTED", closed)
		}
	case closed != m.closed:
		t.Fatalf("got the error %v, want %v", closed, m.closed)
	}
}

func (m *inboxModel) check(t *rapid.T) {
	in := &m.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if got, want := m.budget.left.Load(), m.cfg.MaxBuffered-in.held-in.grown; got != want || got < 0 {
		t.Fatalf("got a budget of %d bytes, want %d", got, want)
	}
	if in.win.size < m.cfg.CallWindow || in.win.size > m.cfg.MaxCallWindow || in.win.size-m.cfg.CallWindow != in.grown && !in.dropped {
		t.Fatalf("got a window of %d bytes of which %d have grown, want %d to %d", in.win.size, in.grown, m.cfg.CallWindow, m.cfg.MaxCallWindow)
	}
	var unread, memory int64
	for _, p := range in.pieces.all() {
		if p.data == nil {
			continue
		}
		unread += cost(p.data.Len(), p.first)
	}
	if unread > in.win.size {
		t.Fatalf("got %d bytes unread, want at most %d", unread, in.win.size)
	}
	for _, b := range in.partial {
		memory += int64(b.Len())
	}
	if most := in.win.size + in.held; memory > most {
		t.Fatalf("got %d bytes of a message that is not complete, want at most %d", memory, most)
	}
	if m.send.left+in.win.owed+unread != in.win.size && !in.dropped {
		t.Fatalf("%d may be sent, %d owed, %d unread: want %d together", m.send.left, in.win.owed, unread, in.win.size)
	}
	if in.dropped && !m.tooBig && (in.partial != nil || in.held+in.grown != 0) {
		t.Fatalf("got %d bytes held after the end, want none", in.held+in.grown)
	}
}

// TestInbox runs an inbox against a model, in any order of events.
func TestInbox(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newInboxModel(Config{
			Services:       &Services{},
			CallWindow:     rapid.SampledFrom([]int64{1024, 4096, 64 << 10}).Draw(t, "window"),
			MaxCallWindow:  rapid.SampledFrom([]int64{1024, 10_000, 1 << 20}).Draw(t, "max window"),
			MaxBuffered:    rapid.SampledFrom([]int64{1, 5000, 1 << 20}).Draw(t, "budget"),
			MaxRecvMsgSize: 150_000,
		})
		t.Repeat(map[string]func(*rapid.T){
			"message": func(t *rapid.T) {
				if m.under || m.tooBig || m.closed != nil {
					t.Skip("no message may begin")
				}
				n := rapid.OneOf(rapid.IntRange(0, 100), rapid.SampledFrom([]int{1025, 5000, 150_000, 150_001})).Draw(t, "bytes")
				m.next++
				m.rest, m.first = bytes.Repeat([]byte{m.next}, n), true
				saved := m.rest
				if !m.put(t) {
					m.rest = nil
					t.Skip("no window")
				}
				m.want = append(m.want, saved)
				m.tooBig = n > m.cfg.MaxRecvMsgSize
			},
			"piece": func(t *rapid.T) {
				if !m.under || m.closed != nil || !m.put(t) {
					t.Skip("no piece may come")
				}
			},
			"take": m.take,
			"close": func(t *rapid.T) {
				if m.under || m.closed != nil || m.failed || m.tooBig {
					t.Skip("it may not end now")
				}
				m.closed = rapid.SampledFrom([]error{io.EOF, io.ErrUnexpectedEOF}).Draw(t, "why")
				m.in.mu.Lock()
				m.in.close(m.closed)
				m.in.close(io.ErrClosedPipe) // the first counts
				m.in.mu.Unlock()
			},
			"drop": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "rarely") == 0 {
					m.in.drop(io.ErrNoProgress)
					m.dropped = true
				}
			},
			"": m.check,
		})
		m.in.drop(io.ErrNoProgress)
		m.dropped = true
		m.check(t)
		if got := m.budget.left.Load(); got != m.cfg.MaxBuffered {
			t.Fatalf("got a budget of %d bytes at the end, want %d", got, m.cfg.MaxBuffered)
		}
		if got := m.pool.out.Load(); got != 0 {
			t.Fatalf("got %d batches that were not freed, want none", got)
		}
	})
}

// putFrame puts the message part of a frame whose message is a batch of its own.
func putFrame(in *inbox, f wire.Frame) error {
	batch := mem.SliceBuffer(slices.Clone(f.Message))
	f.Message = batch.ReadOnlyData()
	in.mu.Lock()
	defer in.mu.Unlock()
	err := in.putMessage(&f, batch)
	in.signal()
	return err
}

func TestInboxRefuses(t *testing.T) {
	type frames = []wire.Frame
	piece := func(n int) wire.Frame { return wire.Frame{Message: make([]byte, n)} }
	begin := func(n int, size uint64) wire.Frame { return wire.Frame{Message: make([]byte, n), MessageSize: size} }
	for _, test := range []struct {
		name   string
		frames frames // the last is refused
		want   string
	}{
		{"a first piece that is empty", frames{begin(0, 5)}, "empty piece"},
		{"a further piece that is empty", frames{begin(1, 5), piece(0)}, "empty piece"},
		{"a piece beyond the message", frames{begin(1, 5), piece(5)}, "does not fit"},
		{"a message within a message", frames{begin(1, 5), begin(1, 5)}, "does not fit"},
		{"more than the window", frames{piece(960), piece(0)}, "window"},
		{"more than the window at once", frames{piece(1024)}, "window"},
		{"a piece more than the window", frames{begin(960, 2000), piece(1)}, "window"},
		{"an empty message too many", append(make(frames, 16), piece(0)), "window"},
	} {
		var in inbox
		cfg := Config{Services: &Services{}, CallWindow: 1024}.WithDefaults()
		in.init(&cfg, &budget{}, phaseMessages, 1<<20)
		for i, f := range test.frames {
			err := putFrame(&in, f)
			if last := i == len(test.frames)-1; !last && err != nil {
				t.Errorf("%s: frame %d: got the error %v, want none", test.name, i, err)
			} else if last && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%s: got the error %v, want one with %q", test.name, err, test.want)
			}
		}
	}
}

// noGrants is a granter to whom nothing may be granted.
type grants []uint64

func (g *grants) grant(n uint64) { *g = append(*g, n) }

func TestInboxTakeWaits(t *testing.T) {
	for name, done := range map[string]bool{"with a context that can end": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				cancel := func() {}
				if done {
					ctx, cancel = context.WithCancel(t.Context())
				}
				defer cancel()
				var in inbox
				var g grants
				cfg := Config{Services: &Services{}, CallWindow: 1024}.WithDefaults()
				in.init(&cfg, &budget{}, phaseMessages, 1<<20)
				var got []string
				go func() {
					for {
						msg, _, err := in.take(ctx, &g)
						if err != nil {
							got = append(got, err.Error())
							return
						}
						got = append(got, string(msg.Materialize()))
						msg.Free()
					}
				}()
				for _, s := range []string{"one", "two"} {
					synctest.Wait()
					if err := putFrame(&in, wire.Frame{Message: []byte(s)}); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if err := putFrame(&in, wire.Frame{Message: make([]byte, 400)}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if done {
					cancel()
				} else {
					in.drop(io.EOF)
				}
				synctest.Wait()
				want := []string{"one", "two", string(make([]byte, 400)), io.EOF.Error()}
				if done {
					want[3] = errDone.Error()
				}
				if !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
				if !slices.Equal(g, grants{598}) {
					t.Errorf("got the grants %v, want one of 598 for what was read", g)
				}
			})
		})
	}
}

// A window grows for the rest of a message that its reader waits for, and when the
// sender had to stop and the reader has taken all that came; not otherwise, and not
// beyond its limits.
func TestInboxGrowsOnlyByRule(t *testing.T) {
	put := func(in *inbox, n int, blocked bool) {
		t.Helper()
		if err := putFrame(in, wire.Frame{Message: make([]byte, n), Blocked: blocked}); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(in *inbox, n, rest int) {
		t.Helper()
		if err := putFrame(in, wire.Frame{Message: make([]byte, n), MessageSize: uint64(n + rest)}); err != nil { //nolint:gosec // small
			t.Fatal(err)
		}
	}
	take := func(in *inbox) uint64 {
		in.mu.Lock()
		defer in.mu.Unlock()
		_, grant := in.absorb()
		return grant
	}
	const size = 1024
	for _, test := range []struct {
		name         string
		max, budget  int64
		run          func(in *inbox) uint64
		grant, grown int64
	}{
		{"a blocked sender and a reader that keeps up", 1 << 20, 1 << 20, func(in *inbox) uint64 {
			put(in, 100, true)
			return take(in)
		}, size + 164, size},
		{"a sender that is not blocked", 1 << 20, 1 << 20, func(in *inbox) uint64 {
			put(in, 100, false)
			return take(in)
		}, 0, 0},
		{"a reader that is behind", 1 << 20, 1 << 20, func(in *inbox) uint64 {
			put(in, 100, true)
			put(in, 100, false)
			return take(in)
		}, 0, 0},
		{"a reader that has caught up", 1 << 20, 1 << 20, func(in *inbox) uint64 {
			put(in, 100, true)
			put(in, 100, true)
			return take(in) + take(in)
		}, size + 328, size},
		{"a limit", size + 10, 1 << 20, func(in *inbox) uint64 {
			put(in, 100, true)
			return take(in)
		}, 10 + 164, 10},
		{"the rest of a message that its reader waits for", 1 << 20, 1 << 20, func(in *inbox) uint64 {
			begin(in, 100, 5000)
			return take(in)
		}, 5000 - (size - 164), 5000 - size},
		{"the rest of a message, within the limit", size + 10, 1 << 20, func(in *inbox) uint64 {
			begin(in, 100, 5000)
			return take(in)
		}, 10 + 164, 10},
		{"the rest of a message that fits", 1 << 20, 1 << 20, func(in *inbox) uint64 {
			begin(in, 100, 500)
			return take(in)
		}, 0, 0},
		{"no budget: what is owed is given back all the same", 1 << 20, size - 1, func(in *inbox) uint64 {
			put(in, 100, true)
			return take(in)
		}, 164, 0},
	} {
		var in inbox
		var b budget
		b.left.Store(test.budget)
		cfg := Config{Services: &Services{}, CallWindow: size, MaxCallWindow: test.max}.WithDefaults()
		in.init(&cfg, &b, phaseMessages, 1<<20)
		if got := test.run(&in); int64(got) != test.grant || in.win.size != size+test.grown { //nolint:gosec // small
			t.Errorf("%s: got %d bytes granted and a window of %d, want %d and %d", test.name, got, in.win.size, test.grant, size+test.grown)
		}
	}
}

// What waits behind other messages does not keep large batches in memory.
func TestKeep(t *testing.T) {
	for _, test := range []struct {
		name   string
		data   int
		batch  int
		soon   bool
		shares bool
	}{
		{"a small message that is taken at once", 10, 16 << 10, true, true},
		{"a small message of a huge batch", 10, 1 << 20, true, false},
		{"a small message that waits", 10, 1 << 10, false, false},
		{"a large message that waits in a huge batch", 16 << 10, 1 << 20, false, false},
		{"a quarter of a batch", 4 << 10, 16 << 10, false, true},
		{"an empty message", 0, 1 << 10, true, false},
	} {
		var p countedPool
		batch := p.batch(make([]byte, test.batch))
		kept := keep(batch.ReadOnlyData()[5:5+test.data], batch, test.soon)
		batch.Free()
		if shares := p.out.Load() == 1; shares != test.shares {
			t.Errorf("%s: got a reference to the batch: %v, want %v", test.name, shares, test.shares)
		}
		if kept.Len() != test.data {
			t.Errorf("%s: got %d bytes, want %d", test.name, kept.Len(), test.data)
		}
		kept.Free()
		if p.out.Load() != 0 {
			t.Errorf("%s: the batch was not freed", test.name)
		}
	}
}

func TestBudget(t *testing.T) {
	var b budget
	b.left.Store(10)
	if b.take(4) != "" || b.take(7) == "" || b.take(6) != "" || b.take(1) == "" {
		t.Error("got another answer, want 4 and 6 taken of 10, and neither 7 nor 1")
	}
	if b.give(3); b.take(3) != "" {
		t.Error("got nothing of what was given back, want all")
	}
}
