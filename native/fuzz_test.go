package native_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

func FuzzHead(f *testing.F) {
	f.Add(native.BRPC.Append(nil, native.Head{Type: native.TypePush, CorrelationID: 1 << 62, LogID: -1, Body: 90}))
	f.Add(make([]byte, 48))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 48 {
			return
		}
		h, err := native.BRPC.Parse(b[:48])
		if err != nil {
			return
		}
		again, err := native.BRPC.Parse(native.BRPC.Append(nil, h))
		if err != nil || again != h {
			t.Errorf("%+v became %+v, %v", h, again, err)
		}
	})
}

// seeds are conversations of both ends.
func seeds(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeFrame(native.TypeRegister, 0, registration(f, "c1")))
	f.Add(encodeFrame(native.TypeRequest, 0, registration(f, "c1")))
	both := encodeFrame(native.TypeRegister, 0, registration(f, "c1"))
	both = append(both, encodeFrame(native.TypeRequest, 1, echoCall(f, "x"))...)
	both = append(both, encodeFrame(native.TypePushResponse, 1, pushResult(f, "x"))...)
	f.Add(both)
	f.Add(encodeFrame(native.TypeRequest, 1, requestBody(f, "a", "b", int32(1), "x")))
	f.Add(encodeFrame(native.TypeResponse, 1, contentBody(f, true)))
	f.Add(encodeFrame(native.TypePush, 9, requestBody(f, "com.baidu.brpc.example.push.push.UserPushApi", "clientReceive", "x")))
	f.Add(badHead(setBody(1 << 20)))
	f.Add(badHead(setBody(0x80000000)))
}

// talk sends bytes to a connection and reads what comes back, until it ends.
func talk(conn net.Conn, b []byte) {
	go func() {
		conn.Write(b) //nolint:errcheck // the other end may have gone
		conn.Close()
	}()
	io.Copy(io.Discard, conn) //nolint:errcheck // whatever comes
}

// FuzzServer is a peer that says anything to the accepting end. It ends, whatever
// is said, and nothing of it is left.
func FuzzServer(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		s := server.New()
		var services native.Services
		pb.RegisterEchoServiceServer(&services, &echo{})
		p := newPipes()
		ended := make(chan error)
		go func() {
			ended <- s.Serve(p, native.Protocol(native.WithServices(&services), native.WithPushes(&pb.UserPushApi_ServiceDesc),
				native.WithMaxBody(1<<20), native.WithUnknownHandler(echoArgs), soon))
		}()
		talk(p.dial(t).Conn, b)
		s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func echoArgs(_ context.Context, _, _ string, args []any) (any, error) {
	if len(args) == 0 {
		return true, nil
	}
	return args[0], nil
}

// FuzzClient is the same for the dialling end.
func FuzzClient(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		a, peer := net.Pipe()
		e := native.Dialer("", native.WithMaxBody(1<<20), native.WithUnknownHandler(echoArgs), native.WithCalls(&pb.EchoService_ServiceDesc),
			native.WithRegistration(native.OneWay, 0),
			native.WithDialFunc(func(context.Context, string) (net.Conn, error) { return a, nil }))
		done := make(chan struct{})
		go func() {
			defer close(done)
			talk(peer, b)
		}()
		l, err := e.Dial(t.Context(), tunnel.Config{Remote: tunnel.Peer{Name: "c1"}})
		if err == nil {
			select {
			case <-l.Done():
			case <-time.After(long):
				t.Error("it does not end")
			}
			l.Close(nil)
			l.Wait()
		}
		peer.Close()
		<-done
	})
}

// What a peer claims to send costs nothing until it is sent.
func TestClaimsCostNothing(t *testing.T) {
	w := newWorld(t, nil)
	var fs []*fakeJava
	before := heap()
	for range 50 {
		f := fake(t, w.addr)
		f.Write(badHead(setBody(64 << 20)))
		fs = append(fs, f)
	}
	for _, f := range fs {
		f.Write(bytes.Repeat([]byte{1}, 1000))
	}
	if grown := heap() - before; grown > 50*300<<10 {
		t.Errorf("%d bytes are held for 50 claims of 64 MiB", grown)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
