package tunnel

import (
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/mem"
)

// testTransport is a transport whose Send can be made to block. It checks that
// Send and Recv are each called by one goroutine at a time, and counts the
// batches that the session has received and not freed.
type testTransport struct {
	Transport
	pool   countedPool
	inline atomic.Int64
	closed chan struct{}
	once   sync.Once
	err    error // what it was closed with; to be read after closed

	sending   atomic.Bool
	receiving atomic.Bool
	blocked   atomic.Bool // a Send waits
	sends     atomic.Int64

	mu   sync.Mutex
	gate chan struct{} // nil if Send does not block
}

// newTestTransport takes as much at once as no test sends.
func newTestTransport(t Transport) *testTransport {
	tt := &testTransport{Transport: t, closed: make(chan struct{})}
	tt.inline.Store(1 << 30)
	return tt
}

// shut makes Send block.
func (t *testTransport) shut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gate == nil {
		t.gate = make(chan struct{})
	}
}

// open lets Send go on.
func (t *testTransport) open() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gate != nil {
		close(t.gate)
		t.gate = nil
	}
}

func (t *testTransport) Send(batch mem.Buffer) (more bool, err error) {
	if t.sending.Swap(true) {
		panic("two goroutines send at a time")
	}
	defer t.sending.Store(false)
	t.sends.Add(1)
	t.mu.Lock()
	gate := t.gate
	t.mu.Unlock()
	if gate != nil {
		t.blocked.Store(true)
		defer t.blocked.Store(false)
		select {
		case <-gate:
		case <-t.closed:
			batch.Free()
			return false, io.ErrClosedPipe
		}
	}
	return t.Transport.Send(batch)
}

func (t *testTransport) Recv() (mem.Buffer, error) {
	if t.receiving.Swap(true) {
		panic("two goroutines receive at a time")
	}
	defer t.receiving.Store(false)
	b, err := t.Transport.Recv()
	if err != nil {
		return nil, err
	}
	defer b.Free()
	return t.pool.batch(b.ReadOnlyData()), nil
}

func (t *testTransport) Close(err error) {
	t.once.Do(func() {
		t.err = err
		close(t.closed)
	})
	t.Transport.Close(err)
}

func (t *testTransport) closedWith() error {
	select {
	case <-t.closed:
		return t.err
	default:
		return io.ErrNoProgress
	}
}

func (t *testTransport) BatchBytes() int { return streamBatch }

func (t *testTransport) InlineBytes() int { return int(t.inline.Load()) }

func TestPipe(t *testing.T) {
	a, b := Pipe()
	if _, err := a.Send(mem.SliceBuffer("one")); err != nil {
		t.Fatal(err)
	}
	a.Close(nil)
	a.Close(io.ErrNoProgress) // only the first counts
	if got, err := b.Recv(); err != nil || string(got.ReadOnlyData()) != "one" {
		t.Errorf("got %v and the error %v, want what was sent before the end", got, err)
	}
	if _, err := b.Recv(); err != io.EOF {
		t.Errorf("got the error %v, want %v", err, io.EOF)
	}
	if _, err := a.Recv(); err != io.EOF {
		t.Errorf("at the closed end: got the error %v, want %v", err, io.EOF)
	}
	for name, end := range map[string]Transport{"the closed": a, "the other": b} {
		if _, err := end.Send(mem.SliceBuffer("two")); err == nil {
			t.Errorf("at %s end: got no error, want one", name)
		}
	}
}
