package faultnet

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// segmentSize is the number of bytes that travel, and arrive, together.
const segmentSize = 16 << 10

// segment is a run of bytes, or the end of the stream. A zero arrival means
// that the segment is held back by a silence.
type segment struct {
	data    []byte
	end     bool
	arrival time.Time
}

// pipe is one direction of a connection: a queue of segments, each with its
// time of arrival. Time is compared when a reader looks; only a blocked call
// needs a timer.
type pipe struct {
	config Config

	mu             sync.Mutex
	reader, writer side
	queue          []segment
	unread         int       // bytes written, less bytes read
	sent           time.Time // when the last segment has left the writer
	silent         bool
	reset          bool
	writing        bool // a call of write is between its first and last byte
	writeClosed    bool
	readClosed     bool
	// broken is when the writer learns that readClosed; zero if it is not, or
	// while a silence holds the news back.
	broken time.Time
}

func newPipe(config Config) *pipe {
	p := &pipe{config: config}
	p.reader.change = sync.NewCond(&p.mu)
	p.writer.change = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		now := time.Now()
		switch {
		case p.readClosed:
			return 0, net.ErrClosed
		case p.reset:
			return 0, syscall.ECONNRESET
		case reached(p.reader.deadline, now):
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		}
		if count, err := p.take(b, now); count > 0 || err != nil {
			return count, err
		}
		var arrival time.Time
		if len(p.queue) > 0 {
			arrival = p.queue[0].arrival
		}
		p.reader.wait(now, arrival)
	}
}

// take moves the bytes that have arrived from the queue to b.
func (p *pipe) take(b []byte, now time.Time) (count int, err error) {
	for count < len(b) && len(p.queue) > 0 && reached(p.queue[0].arrival, now) {
		head := &p.queue[0]
		if head.end {
			if count == 0 {
				err = io.EOF
			}
			break
		}
		moved := copy(b[count:], head.data)
		count += moved
		head.data = head.data[moved:]
		if len(head.data) == 0 {
			*head = segment{}
			p.queue = p.queue[1:]
		}
	}
	if count > 0 {
		p.unread -= count
		p.writer.change.Broadcast()
	}
	return count, err
}

func (p *pipe) write(b []byte) (count int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := false
	defer func() {
		if mine {
			p.writing = false
			p.writer.change.Broadcast()
		}
	}()
	for {
		now := time.Now()
		switch {
		case p.writeClosed:
			return count, net.ErrClosed
		case p.reset:
			return count, syscall.ECONNRESET
		case reached(p.broken, now):
			return count, syscall.EPIPE
		case reached(p.writer.deadline, now):
			return count, os.ErrDeadlineExceeded
		}
		if mine || !p.writing {
			mine, p.writing = true, true
			for count < len(b) && p.unread < p.config.Buffer {
				size := min(len(b)-count, p.config.Buffer-p.unread, segmentSize)
				p.put(b[count:count+size], now)
				count += size
			}
			if count == len(b) {
				return count, nil
			}
		}
		p.writer.wait(now, p.broken)
	}
}

// put copies data to the end of the queue.
func (p *pipe) put(data []byte, now time.Time) {
	p.unread += len(data)
	arrival := p.send(len(data), now)
	if last := len(p.queue) - 1; last >= 0 && p.queue[last].arrival.Equal(arrival) &&
		len(p.queue[last].data)+len(data) <= segmentSize {
		p.queue[last].data = append(p.queue[last].data, data...)
		return
	}
	p.enqueue(segment{data: bytes.Clone(data), arrival: arrival})
}

func (p *pipe) enqueue(s segment) {
	p.queue = append(p.queue, s)
	if len(p.queue) == 1 {
		p.reader.change.Broadcast()
	}
}

// send takes the time that size bytes need to leave the writer, and returns
// when they arrive; zero in a silence.
func (p *pipe) send(size int, now time.Time) time.Time {
	if p.silent {
		return time.Time{}
	}
	if p.sent.Before(now) {
		p.sent = now
	}
	if p.config.Bandwidth > 0 {
		p.sent = p.sent.Add(time.Duration(size) * time.Second / time.Duration(p.config.Bandwidth))
	}
	return p.sent.Add(p.config.Latency)
}

func (p *pipe) setSilent(silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent == silent {
		return
	}
	p.silent = silent
	now := time.Now()
	p.sent = now
	for i := range p.queue {
		if s := &p.queue[i]; !reached(s.arrival, now) {
			s.arrival = p.send(len(s.data), now)
		}
	}
	if p.readClosed && !reached(p.broken, now) {
		p.broken = p.send(0, now)
	}
	p.reader.change.Broadcast()
	p.writer.change.Broadcast()
}

func (p *pipe) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reset = true
	p.queue = nil
	p.reader.release()
	p.writer.release()
}

// closeWrite ends the stream. It returns when the end arrives at the reader;
// zero if a silence holds it back.
func (p *pipe) closeWrite() (time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writeClosed {
		return time.Time{}, net.ErrClosed
	}
	p.writeClosed = true
	end := p.send(0, time.Now())
	p.enqueue(segment{end: true, arrival: end})
	p.writer.release()
	return end, nil
}

// closeRead has later reads fail, and writes once the news has arrived, which
// is not before the given time.
func (p *pipe) closeRead(news time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readClosed = true
	p.queue = nil
	if !p.silent {
		p.broken = time.Now().Add(p.config.Latency)
		if p.broken.Before(news) {
			p.broken = news
		}
	}
	p.reader.release()
	p.writer.change.Broadcast()
}

func (p *pipe) setReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readClosed {
		return net.ErrClosed
	}
	p.reader.deadline = t
	p.reader.change.Broadcast()
	return nil
}

func (p *pipe) setWriteDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writeClosed {
		return net.ErrClosed
	}
	p.writer.deadline = t
	p.writer.change.Broadcast()
	return nil
}

// side is where the calls at one end of a pipe block. The mutex of the pipe
// guards it.
type side struct {
	change   *sync.Cond
	deadline time.Time
	timer    *time.Timer
}

// wait blocks until a change, the deadline or the event, whose times lie after
// now or are zero. It may return early.
func (s *side) wait(now, event time.Time) {
	next := event
	if next.IsZero() || !s.deadline.IsZero() && s.deadline.Before(next) {
		next = s.deadline
	}
	switch {
	case next.IsZero():
	case s.timer == nil:
		s.timer = time.AfterFunc(next.Sub(now), func() {
			s.change.L.Lock()
			defer s.change.L.Unlock()
			s.change.Broadcast()
		})
	default:
		s.timer.Reset(next.Sub(now))
	}
	s.change.Wait()
}

// release wakes the blocked calls for the last time.
func (s *side) release() {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.change.Broadcast()
}

// reached tells whether t is set and not after now.
func reached(t, now time.Time) bool {
	return !t.IsZero() && !t.After(now)
}
