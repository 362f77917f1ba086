package tunnel

import (
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// pipeDepth is how many batches are under way in each direction of a Pipe.
const pipeDepth = 64

// Pipe returns the two ends of a transport in memory.
func Pipe() (Transport, Transport) {
	ab, ba := make(chan mem.Buffer, pipeDepth), make(chan mem.Buffer, pipeDepth)
	a := &pipeEnd{out: ab, in: ba, closed: make(chan struct{})}
	b := &pipeEnd{out: ba, in: ab, closed: make(chan struct{})}
	a.peer, b.peer = b, a
	return a, b
}

type pipeEnd struct {
	out    chan<- mem.Buffer
	in     <-chan mem.Buffer
	peer   *pipeEnd
	once   sync.Once
	closed chan struct{}
	err    error // what it was closed with; to be read after closed
}

func (p *pipeEnd) Send(batch mem.Buffer) (more bool, err error) {
	select {
	case <-p.closed:
	case <-p.peer.closed:
	default:
		select {
		case p.out <- batch:
			return false, nil
		case <-p.closed:
		case <-p.peer.closed:
		}
	}
	batch.Free()
	return false, io.EOF
}

func (p *pipeEnd) Flush() error { return nil }

func (p *pipeEnd) Recv() (mem.Buffer, error) {
	select {
	case batch := <-p.in:
		return batch, nil
	default:
	}
	select {
	case batch := <-p.in:
		return batch, nil
	case <-p.closed:
		return nil, io.EOF
	case <-p.peer.closed:
	}
	select {
	case batch := <-p.in:
		return batch, nil
	default:
	}
	if p.peer.err != nil {
		return nil, status.Error(codes.Unavailable, reason(p.peer.err))
	}
	return nil, io.EOF
}

func (p *pipeEnd) Close(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.closed)
	})
}

func (p *pipeEnd) BatchBytes() int { return streamBatch }

// InlineBytes allows for batches of a byte: a send blocks when pipeDepth batches
// wait.
func (p *pipeEnd) InlineBytes() int { return 0 }
