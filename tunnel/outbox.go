package tunnel

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

const (
	// smallFrame is the size below which a frame begins a batch of such frames, for
	// which no more than a largeBuffer is worth while.
	smallFrame = 4 << 10
	// ackEvery is how many received bytes are confirmed without being asked.
	ackEvery = 64 << 10
	// ackWith is how many received bytes are worth to be confirmed with what is
	// sent anyway.
	ackWith = 4 << 10
	// ackSize is no less than the size of the frame that confirms.
	ackSize = 14
	// maxControl is how many bytes of control frames may wait. Only a peer that
	// makes this end talk and does not listen gets there.
	maxControl = 256 << 10
	// waiting is what a message that waits counts for besides its size: the
	// rest of its buffer, and its place in the queue. Empty ones are not free.
	waiting = 512
	// inlineBatches is how many batches a caller sends, its own and others',
	// before a goroutine takes over.
	inlineBatches = 8
)

// outbox is the sending side of a session: what waits, in which order it goes,
// and who sends it. Control frames go first. Then the calls that have something
// to say and the window to say it take turns, a piece each.
type outbox struct {
	session  *Session
	most     int           // bytes of a batch: Transport.BatchBytes
	received atomic.Uint64 // bytes of batches that came in; set by the reader
	open     atomic.Int64  // calls that have entered and not left
	queued   atomic.Int64  // bytes that wait of the calls of this end, with waiting for each message
	leaving  atomic.Bool   // no more may enter

	// mu guards what follows and the outbound half of every call.
	mu       sync.Mutex
	control  []byte // encoded frames
	ready    ring   // calls that can send
	spent    ring   // calls of the peer that can be used again; the reader does that
	parted   bool   // the last word has been said
	transit  transit
	acked    uint64        // the part of received that the peer knows
	started  bool          // the first frame is there: before it nothing is sent
	flushing bool          // somebody is sending
	broken   bool          // the transport takes no more
	closed   bool          // the session has ended
	drained  chan struct{} // closed by rest; nil until somebody waits
}

func (o *outbox) init(s *Session) {
	o.session, o.most = s, s.transport.BatchBytes()
	o.transit.window = minTransit
	o.ready.kind, o.spent.kind = readyRing, spentRing
}

// add queues it for a call and sends what is ready. It reports false, and drops
// the item, if the call is detached or the outbox closed.
func (o *outbox) add(c *outbound, it item) bool {
	if it.returned {
		o.exit()
	}
	o.mu.Lock()
	if c.full || c.detached || o.closed {
		o.mu.Unlock()
		if it.message != nil {
			o.release(c, it.message.Len()+waiting)
			it.message.Free()
		}
		return false
	}
	if c.items.items == nil {
		c.items.use(c.first[:])
	}
	c.items.push(it)
	c.full, c.spent = it.final, it.spent
	if it.message != nil {
		c.bytes += it.message.Len() + waiting
	}
	o.enlist(c)
	if it.more {
		o.flushSoon()
	} else {
		o.flush(true)
	}
	return true
}

// reserve makes room for n bytes of a call of this end, or tells which limit stands
// against it; empty if none does. What add takes is released when it has gone.
func (o *outbox) reserve(n int) Limit {
	all := o.queued.Add(int64(n))
	if all > o.session.cfg.MaxQueued && all > int64(n) {
		o.queued.Add(-int64(n))
		return LimitQueued
	}
	if !o.session.cfg.Memory.Take(int64(n), all-int64(n)) {
		o.queued.Add(-int64(n))
		return LimitMemory
	}
	return ""
}

// release gives back what was reserved for a call.
func (o *outbox) release(c *outbound, n int) {
	if c.reserved && n > 0 {
		o.queued.Add(-int64(n))
		o.session.cfg.Memory.Give(int64(n))
	}
}

// finish adds parts behind all that waits for a call: to the last item if that
// has not gone out, otherwise as one of their own.
func (o *outbox) finish(c *outbound, post []byte) {
	o.mu.Lock()
	if c.items.len() > 0 && !c.detached {
		last := c.items.back()
		last.post = append(last.post[:len(last.post):len(last.post)], post...)
		o.mu.Unlock()
		return
	}
	o.mu.Unlock()
	o.add(c, item{post: post})
}

// enter counts a call in, unless limit calls are in or the session is to end.
func (o *outbox) enter(limit int) (ok, leaving bool) {
	if o.open.Add(1) > int64(limit) {
		o.exit()
		return false, o.leaving.Load()
	}
	// last may have looked at the count before or after it grew.
	if o.leaving.Load() {
		o.exit()
		return false, true
	}
	return true, false
}

// exit counts a call out.
func (o *outbox) exit() {
	if o.open.Add(-1) == 0 && o.leaving.Load() {
		o.part()
	}
}

// last lets no more calls in. When all are out the peer is told.
func (o *outbox) last() {
	if !o.leaving.Swap(true) && o.open.Load() == 0 {
		o.part()
	}
}

// part says the last word, once.
func (o *outbox) part() {
	o.mu.Lock()
	if !o.parted && !o.closed {
		o.parted = true
		o.control = wire.AppendSessionFrame(o.control, wire.Done)
	}
	o.flush(false)
}

// sent returns how many bytes of batches have gone.
func (o *outbox) sent() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.transit.sent
}

// inFlight returns how many calls are in.
func (o *outbox) inFlight() int { return int(o.open.Load()) }

// leave ends the sending half of a call of this end, and counts it out: what
// waits is dropped. If the call's first frame has left, the parts in last go
// out; nil for none. It reports whether the first frame has left.
func (o *outbox) leave(c *outbound, last []byte) (begun bool) {
	o.mu.Lock()
	begun = c.begun
	c.detached = true
	o.drop(c)
	if begun && last != nil && !o.closed {
		o.control = wire.AppendCallFrame(o.control, c.id, nil, nil, last)
		o.flush(false)
	} else {
		o.rest()
		o.mu.Unlock()
	}
	o.exit()
	return begun
}

// detach ends the sending half of a call: what waits is dropped.
func (o *outbox) detach(c *outbound) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.detached = true
	o.drop(c)
}

// drop frees what waits for a call. o.mu is held.
func (o *outbox) drop(c *outbound) {
	o.ready.remove(c)
	for _, it := range c.items.all() {
		if it.message != nil {
			it.message.Free()
		}
	}
	c.items.drop()
	o.release(c, c.bytes)
	c.bytes = 0
	c.signal()
}

// wait blocks until fewer than limit bytes wait for the call, or it is detached,
// or ctx ends.
func (o *outbox) wait(ctx context.Context, c *outbound, limit int) {
	for {
		o.mu.Lock()
		ok := c.detached || o.closed || c.bytes < limit
		if !ok && c.wake == nil {
			c.wake = make(chan struct{}, 1)
		}
		o.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
	}
}

// credit lets a call send n more bytes.
func (o *outbox) credit(c *outbound, n uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.detached {
		return nil
	}
	err := c.win.add(n)
	o.enlist(c)
	return err
}

// grant lets the peer send n more bytes on a call, unless the call is over.
func (o *outbox) grant(c *outbound, n uint64) {
	var part [12]byte
	o.mu.Lock()
	if !c.full && !c.detached && !o.closed {
		o.control = wire.AppendCallFrame(o.control, c.id, wire.AppendWindow(part[:0], n), nil, nil)
	}
	full := len(o.control) > maxControl
	o.flush(false)
	if full {
		o.session.Close(protocolError(errNotListening))
	}
}

// start sends the session's first frame, and then what waits already.
func (o *outbox) start(frame []byte) {
	o.mu.Lock()
	o.control = append(frame, o.control...)
	o.started = true
	o.flush(false)
}

// send queues encoded control frames and sends what is ready.
func (o *outbox) send(frames []byte) {
	o.mu.Lock()
	o.control = append(o.control, frames...)
	o.flush(false)
}

// queue queues encoded control frames. The reader calls it, and flushes later.
func (o *outbox) queue(frames []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	o.control = append(o.control, frames...)
	if len(o.control) > maxControl {
		return errNotListening
	}
	return nil
}

// ack notes that the peer has received total bytes.
func (o *outbox) ack(total uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.transit.ack(total, time.Now)
}

// kick sends what is ready. It returns the calls that can be used again.
func (o *outbox) kick() (spent ring) {
	o.mu.Lock()
	spent, o.spent = o.spent, ring{kind: spentRing}
	o.flush(false)
	return spent
}

// close drops all that waits, and all that comes. It returns the calls of which
// nothing has left.
func (o *outbox) close() (unsent []call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.control = nil
	for c := o.ready.head; c != nil; c = o.ready.head {
		if !c.begun {
			unsent = append(unsent, c.owner)
		}
		o.drop(c)
	}
	return unsent
}

// enlist puts a call among those that can send, if it can. o.mu is held.
func (o *outbox) enlist(c *outbound) {
	if c.sendable() {
		o.ready.push(c)
	}
}

// due reports whether there is something to send. o.mu is held.
func (o *outbox) due() bool {
	return o.started && !o.closed && !o.broken && (len(o.control) > 0 ||
		o.received.Load()-o.acked >= ackEvery ||
		o.ready.head != nil && o.transit.room(time.Now))
}

// flush sends what is ready, unless somebody does that already. It does not
// block. o.mu is held and released. A caller that can wait for others yields, to
// those that are ready and to those that they wake, so that their frames travel
// with its own.
func (o *outbox) flush(yield bool) {
	if o.flushing || !o.due() {
		o.rest()
		o.mu.Unlock()
		return
	}
	o.flushing = true
	if yield && o.open.Load() > 1 {
		o.mu.Unlock()
		runtime.Gosched()
		runtime.Gosched()
		o.mu.Lock()
	}
	more := false
	for range inlineBatches {
		if more || !o.inline() {
			break
		}
		var ok bool
		if more, ok = o.sendBatch(); !ok {
			o.mu.Unlock()
			return
		}
	}
	if !more && !o.due() {
		o.flushing = false
		o.rest()
		o.mu.Unlock()
		return
	}
	o.mu.Unlock()
	go o.sendAll(more)
}

// flushSoon has what is ready sent by another goroutine. What comes before that runs
// travels along. o.mu is held and released.
func (o *outbox) flushSoon() {
	if o.flushing || !o.due() {
		o.rest()
		o.mu.Unlock()
		return
	}
	o.flushing = true
	o.mu.Unlock()
	go o.sendAll(false)
}

// sendAll sends all that is ready, and may block; more says that the transport
// has kept a part of the last batch.
func (o *outbox) sendAll(more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for ok := true; ok; {
		if more {
			o.mu.Unlock()
			err := o.session.transport.Flush()
			o.mu.Lock()
			if err != nil {
				o.fail(err)
				return
			}
		}
		more, ok = o.sendBatch()
	}
}

// drain returns a channel that is closed when no call is under way and the
// transport has all that was to be sent.
func (o *outbox) drain() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.drained == nil {
		o.drained = make(chan struct{})
		o.rest()
	}
	return o.drained
}

// rest tells who waits in drain if it is time. o.mu is held.
func (o *outbox) rest() {
	if o.drained == nil || o.flushing || o.session.table.size() > 0 {
		return
	}
	select {
	case <-o.drained:
	default:
		close(o.drained)
	}
}

// inline reports whether a send now cannot block.
func (o *outbox) inline() bool {
	return o.transit.underWay() < uint64(o.session.transport.InlineBytes()) //nolint:gosec // a small constant
}

// sendBatch builds and sends one batch; more says that the transport has kept a
// part of it. If there is none, or the transport has failed, ok is false and
// nobody is sending. o.mu is held, but not while it sends.
func (o *outbox) sendBatch() (more, ok bool) {
	batch := o.build()
	if batch == nil {
		o.flushing = false
		o.rest()
		return false, false
	}
	o.mu.Unlock()
	more, err := o.session.transport.Send(batch)
	o.mu.Lock()
	if err != nil {
		o.fail(err)
		return false, false
	}
	return more, true
}

// fail lets nothing more be sent because the transport has failed. o.mu is held,
// but not all of the time.
func (o *outbox) fail(err error) {
	if err != io.EOF {
		o.mu.Unlock()
		o.session.end(fmt.Errorf("sending failed: %w", err))
		o.mu.Lock()
	}
	o.broken = true
	o.flushing = false
}

// build returns the next batch, nil if nothing is due. o.mu is held.
func (o *outbox) build() mem.Buffer {
	if !o.due() {
		return nil
	}
	size := len(o.control) + ackSize
	most := o.most
	if c := o.ready.head; c != nil {
		n := c.nextSize()
		if n < smallFrame {
			most = min(most, largeBuffer)
		}
		size += n
		if c.next != nil {
			size = max(size, most)
		} else {
			size = max(size, min(most, c.bytes))
		}
	}
	buf := pool.Get(size)
	b := (*buf)[:0]
	b = append(b, o.control...)
	o.control = o.control[:0]
	if n := o.received.Load(); n-o.acked >= ackWith {
		o.acked = n
		var part [ackSize]byte
		b = wire.AppendSessionFrame(b, wire.AppendReceived(part[:0], n))
	}
	for c := o.ready.head; c != nil && o.transit.room(time.Now); c = o.ready.head {
		if len(b) > 0 && len(b)+c.nextSize() > most {
			break
		}
		o.ready.remove(c)
		if !c.begun {
			c.begun = true
			o.session.table.begin(c)
		}
		final := c.items.front().final
		waits := c.bytes
		b = c.appendNext(b)
		o.release(c, waits-c.bytes)
		if final && c.items.len() == 0 {
			if o.session.table.forget(c, c.late) && c.spent {
				o.spent.push(c)
			}
			continue
		}
		o.enlist(c)
	}
	o.transit.sent += uint64(len(b))
	*buf = b
	return mem.NewBuffer(buf, pool)
}
