package native_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/java"
)

// fakeJava is a peer that speaks in frames, as the test tells it.
type fakeJava struct {
	t testing.TB
	net.Conn
}

type frame struct {
	native.Head
	body java.Body
	raw  []byte
}

func fake(t testing.TB, addr string) *fakeJava {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &fakeJava{t, conn}
}

func encodeFrame(typ native.FrameType, id int64, body []byte) []byte {
	return append(native.BRPC.Append(nil, native.Head{Type: typ, CorrelationID: id, Body: len(body)}), body...)
}

func (f *fakeJava) send(typ native.FrameType, id int64, body []byte) {
	f.t.Helper()
	if _, err := f.Write(encodeFrame(typ, id, body)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakeJava) receive() (frame, error) {
	head := make([]byte, 48)
	if _, err := io.ReadFull(f, head); err != nil {
		return frame{}, err
	}
	h, err := native.BRPC.Parse(head)
	if err != nil {
		return frame{}, err
	}
	raw := make([]byte, h.Body)
	if _, err := io.ReadFull(f, raw); err != nil {
		return frame{}, err
	}
	body, err := java.ParseBody(raw)
	return frame{h, body, raw}, err
}

func (f *fakeJava) want(typ native.FrameType, id int64) frame {
	f.t.Helper()
	fr, err := f.receive()
	if err != nil {
		f.t.Fatalf("no %v: %v", typ, err)
	}
	if fr.Type != typ || fr.CorrelationID != id {
		f.t.Fatalf("got %v %d, want %v %d", fr.Type, fr.CorrelationID, typ, id)
	}
	return fr
}

// closed waits until the other end has closed the connection, and says nothing
// before.
func (f *fakeJava) closed() {
	f.t.Helper()
	if fr, err := f.receive(); err == nil {
		f.t.Errorf("got %v %d, want an end", fr.Type, fr.CorrelationID)
	}
}

func requestBody(t testing.TB, service, method string, args ...any) []byte {
	t.Helper()
	params, err := java.AppendArgs(nil, args)
	if err != nil {
		t.Fatal(err)
	}
	b := java.Body{Service: service, Method: method, Parameters: params}
	return b.Append(nil)
}

func registration(t testing.TB, args ...any) []byte {
	return requestBody(t, "com.baidu.brpc.server.push.RegisterService", "registerClient", args...)
}

func echoCall(t testing.TB, text string) []byte {
	return requestBody(t, "com.baidu.brpc.example.push.normal.EchoService", "echo",
		java.POJO{Class: "com.baidu.brpc.example.push.normal.EchoRequest", Fields: []java.Field{{Number: 1, Type: 2, Value: []byte(text)}}})
}

func contentBody(t testing.TB, v any) []byte {
	t.Helper()
	content, err := java.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	b := java.Body{Content: content}
	return b.Append(nil)
}

func pushResult(t testing.TB, text string) []byte {
	return contentBody(t, java.POJO{Class: "com.baidu.brpc.example.push.push.PushResult", Fields: []java.Field{{Number: 1, Type: 2, Value: []byte(text)}}})
}

func badHead(change func([]byte)) []byte {
	b := encodeFrame(native.TypeRequest, 1, nil)
	change(b)
	return b
}

func setBody(n uint32) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint32(b[44:], n) }
}

// pipes is a listener of connections in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, errors.New("closed")
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func (p *pipes) dial(t testing.TB) *fakeJava {
	a, b := net.Pipe()
	p.conns <- b
	return &fakeJava{t, a}
}
