package tunnel

import (
	"sync/atomic"

	"google.golang.org/grpc/mem"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// outbound is the sending half of a call. outbox.mu guards it.
type outbound struct {
	owner      call
	id         uint64 // 0 until the first frame of a call that this end makes
	win        sendWindow
	items      queue[item]
	first      [1]item  // the storage that items starts with
	off        int      // how much of the first item's message has been sent
	bytes      int      // of messages that wait, with waiting for each
	begun      bool     // its first frame may have left
	full       bool     // it takes no more
	detached   bool     // nor sends any more
	late       int64    // the bytes that may still come when the table forgets it
	reserved   bool     // its messages are counted in outbox.queued
	spent      bool     // nobody has the call but this, the table and the reader
	ring       ringKind // that it is in
	prev, next *outbound
	talks      atomic.Bool   // since the last message came, one has gone; of the call's goroutines
	wake       chan struct{} // signalled when fewer bytes wait or it is detached
}

// item is a run of parts that go out in one frame, or in several if the message
// is large. It owns a reference to the message.
type item struct {
	pre        []byte     // encoded parts before the message
	message    mem.Buffer // nil: none
	compressed bool
	post       []byte // encoded parts after the message
	more       bool   // another message is likely to follow soon
	final      bool   // nothing of this call comes after it
	returned   bool   // and its handler has returned
	spent      bool   // and neither it nor its worker has the call any more
}

// sendable reports whether the call's next piece may go now.
func (c *outbound) sendable() bool {
	if c.items.len() == 0 {
		return false
	}
	m := c.items.front().message
	if m == nil {
		return true
	}
	_, ok := c.win.next(m.Len()-c.off, c.off == 0)
	return ok
}

func (c *outbound) signal() {
	if c.wake != nil {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// nextSize is no less than what appendNext will append.
func (c *outbound) nextSize() int {
	it := c.items.front()
	n := wire.FrameOverhead + len(it.post)
	if c.off == 0 {
		n += len(it.pre)
	}
	if it.message != nil {
		piece, _ := c.win.next(it.message.Len()-c.off, c.off == 0)
		n += piece
	}
	return n
}

// appendNext appends the next frame of a call that is sendable.
func (c *outbound) appendNext(b []byte) []byte {
	it := c.items.front()
	if it.message == nil {
		b = wire.AppendCallFrame(b, c.id, it.pre, nil, it.post)
		c.shift()
		return b
	}
	data := it.message.ReadOnlyData()
	first := c.off == 0
	n, _ := c.win.next(len(data)-c.off, first)
	c.win.spend(n, first)
	p := wire.Piece{Data: data[c.off : c.off+n], Compressed: first && it.compressed}
	last := c.off+n == len(data)
	if first && !last {
		p.Size = uint64(len(data))
	}
	var pre, post []byte
	if first {
		pre = it.pre
	}
	if last {
		post = it.post
	}
	c.bytes -= n
	c.off += n
	if last {
		c.bytes -= waiting
		message := it.message
		c.shift()
		p.Blocked = c.items.len() > 0 && !c.sendable()
		b = wire.AppendCallFrame(b, c.id, pre, &p, post)
		message.Free()
	} else {
		p.Blocked = !c.sendable()
		b = wire.AppendCallFrame(b, c.id, pre, &p, post)
	}
	c.signal()
	return b
}

// shift drops the first item.
func (c *outbound) shift() {
	c.off = 0
	c.items.pop()
}
