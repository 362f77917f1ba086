package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
)

// rawFrames is the native protocol's framing and nothing else: a head of 48 bytes,
// calls that do not wait for each other, frames batched while there are any. There
// is no codec, names only at the start, no deadlines, no limits. It is written in
// the usual way, with a goroutine that writes and one buffer a frame, and so is no
// limit of what TCP can do.
var rawFrames = contender{
	name: "raw TCP frames",
	listen: func(link) (*end, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s := &rawServer{clients: make(map[string]*rawConn)}
		s.serving.Go(func() { s.accept(l) })
		e := &end{addr: l.Addr().String(), connected: s.count, call: s.call}
		e.close = func() error {
			err := l.Close()
			s.mu.Lock()
			for _, c := range s.clients {
				c.Close()
			}
			s.mu.Unlock()
			s.serving.Wait()
			return err
		}
		return e, nil
	},
	connect: func(_ link, addr string, names []string) (*end, error) {
		var serving sync.WaitGroup
		conns := make([]*rawConn, len(names))
		e := &end{close: func() error {
			for _, c := range conns {
				if c != nil {
					c.Close()
				}
			}
			serving.Wait()
			return nil
		}}
		err := each(len(names), dialsAtOnce, func(i int) error {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				return err
			}
			c := newRawConn(nc)
			conns[i] = c
			serving.Go(c.write)
			c.send(0, []byte(names[i]))
			serving.Go(func() {
				_ = c.read(func(id uint64, body []byte) { c.send(id, body) }) // its end is the server's
			})
			return nil
		})
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		return e, nil
	},
}

const rawHead = 48

// rawConn is a connection of either end.
type rawConn struct {
	net.Conn
	out  chan []byte
	done chan struct{}

	mu      sync.Mutex
	pending map[uint64]chan []byte
	last    uint64
}

func newRawConn(nc net.Conn) *rawConn {
	return &rawConn{Conn: nc, out: make(chan []byte, 256), done: make(chan struct{}), pending: make(map[uint64]chan []byte)}
}

func (c *rawConn) send(id uint64, body []byte) {
	b := make([]byte, rawHead, rawHead+len(body))
	binary.LittleEndian.PutUint64(b[12:], id)
	binary.LittleEndian.PutUint32(b[44:], uint32(len(body)))
	select {
	case c.out <- append(b, body...):
	case <-c.done:
	}
}

// write writes frames until the connection ends, and flushes when there are no
// more.
func (c *rawConn) write() {
	w := bufio.NewWriterSize(c, 32<<10)
	for {
		select {
		case b := <-c.out:
			w.Write(b) //nolint:errcheck // Flush tells
		case <-c.done:
			return
		}
		if len(c.out) == 0 {
			if w.Flush() != nil {
				return
			}
		}
	}
}

// read reads frames until the connection ends.
func (c *rawConn) read(take func(id uint64, body []byte)) error {
	defer close(c.done)
	r := bufio.NewReaderSize(c, 32<<10)
	head := make([]byte, rawHead)
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			return err
		}
		body := make([]byte, binary.LittleEndian.Uint32(head[44:]))
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		take(binary.LittleEndian.Uint64(head[12:]), body)
	}
}

// rawServer is the end that calls.
type rawServer struct {
	serving sync.WaitGroup

	mu      sync.RWMutex
	clients map[string]*rawConn
}

func (s *rawServer) accept(l net.Listener) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		c := newRawConn(nc)
		s.serving.Go(c.write)
		s.serving.Go(func() {
			_ = c.read(func(id uint64, body []byte) { // the bench closes it
				if id == 0 {
					s.mu.Lock()
					s.clients[string(body)] = c
					s.mu.Unlock()
					return
				}
				c.mu.Lock()
				answer := c.pending[id]
				delete(c.pending, id)
				c.mu.Unlock()
				answer <- body
			})
		})
	}
}

func (s *rawServer) count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.clients)
}

func (s *rawServer) call(ctx context.Context, name string, data []byte) ([]byte, error) {
	s.mu.RLock()
	c := s.clients[name]
	s.mu.RUnlock()
	if c == nil {
		return nil, errors.New("no such client")
	}
	answer := make(chan []byte, 1)
	c.mu.Lock()
	c.last++
	id := c.last
	c.pending[id] = answer
	c.mu.Unlock()
	c.send(id, data)
	select {
	case b := <-answer:
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
