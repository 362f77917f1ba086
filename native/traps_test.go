package native_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/java"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

func sessions(w *world) int { return len(slices.Collect(w.Sessions())) }

// soon lets a client be ready at once.
var soon = native.WithGrace(time.Nanosecond, time.Nanosecond)

func TestEightConnectionsAreOneClient(t *testing.T) {
	w := newWorld(t, &echo{}, soon)
	process := func() {
		for id := range int64(8) {
			f := fake(t, w.addr)
			f.send(native.TypeRegister, id, registration(t, "c1"))
			f.send(native.TypeRequest, 100+id, echoCall(t, "x"))
			f.want(native.TypeResponse, 100+id)
		}
	}
	process()
	await(t, w.came, "client")
	if n := sessions(w); n != 1 {
		t.Errorf("%d sessions of one process, want 1", n)
	}
	process()
	await(t, w.came, "other client")
	if n := sessions(w); n != 2 {
		t.Errorf("%d sessions of two processes, want 2", n)
	}
}

func TestSessionEndsWithItsLastConnection(t *testing.T) {
	w := newWorld(t, nil, soon)
	a, b := fake(t, w.addr), fake(t, w.addr)
	a.send(native.TypeRegister, 0, registration(t, "c1"))
	await(t, w.came, "client")
	b.send(native.TypeRegister, 1, registration(t, "c1"))
	result := make(chan error, 1)
	push := func() {
		_, err := w.push(within(t), "c1", "", "")
		result <- err
	}
	// A push that waits on a connection fails with it.
	got := make(chan *fakeJava, 2)
	for _, f := range []*fakeJava{a, b} {
		go func() {
			if _, err := f.receive(); err == nil {
				got <- f
			}
		}()
	}
	go push()
	first := await(t, got, "push")
	first.Close()
	if err := await(t, result, "end of the push"); status.Code(err) != codes.Unavailable || tunnel.OutcomeOf(err) != tunnel.OutcomeUnknown {
		t.Errorf("got %v", err)
	}
	// The other connection takes the next.
	go push()
	second := await(t, got, "push on the other connection")
	second.Close()
	await(t, result, "end of the push")
	await(t, w.gone, "end of the session")
}

func TestAnonymous(t *testing.T) {
	w := newWorld(t, &echo{}, soon)
	for _, reg := range [][]byte{registration(t, nil), registration(t, ""), registration(t, "  "), registration(t)} {
		f := fake(t, w.addr)
		f.send(native.TypeRegister, 0, reg)
		f.send(native.TypeRequest, 1, echoCall(t, "x"))
		f.want(native.TypeResponse, 1)
	}
	if n := sessions(w); n != 0 {
		t.Errorf("%d sessions without a name", n)
	}
}

func TestLastNameCounts(t *testing.T) {
	w := newWorld(t, &echo{}, soon)
	f := fake(t, w.addr)
	f.send(native.TypeRegister, 0, registration(t, "c1"))
	if name := await(t, w.came, "client"); name != "c1" {
		t.Error(name)
	}
	f.send(native.TypeRegister, 1, registration(t, "c1")) // again: nothing happens
	f.send(native.TypeRegister, 2, registration(t, "c2"))
	if name := await(t, w.came, "client of the new name"); name != "c2" {
		t.Error(name)
	}
	await(t, w.gone, "end of the old name")
	go w.push(within(t), "c2", "", "") //nolint:errcheck // it is not answered
	if fr, err := f.receive(); err != nil || fr.Type != native.TypePush {
		t.Errorf("%v, %v", fr, err)
	}
}

func TestFramesInPieces(t *testing.T) {
	w := newWorld(t, &echo{}, soon)
	f := fake(t, w.addr)
	// All the bits of an id come back, whatever it is.
	ids := []int64{0, -5, 1 << 32, 1<<62 | 7, 1<<63 - 1}
	var all []byte
	for _, id := range ids {
		all = append(all, encodeFrame(native.TypeRequest, id, echoCall(t, fmt.Sprint(id)))...)
	}
	for _, b := range all {
		if _, err := f.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Write(all); err != nil { // and in one
		t.Fatal(err)
	}
	counts := make(map[int64]int)
	for range 2 * len(ids) {
		fr, err := f.receive()
		if err != nil {
			t.Fatal(err)
		}
		v, err := java.Parse(fr.body.Content, java.Limits{})
		if p, ok := v.(java.POJO); err != nil || !ok || string(p.Fields[0].Value) != fmt.Sprint(fr.CorrelationID) {
			t.Errorf("%d is answered with %v, %v", fr.CorrelationID, v, err)
		}
		counts[fr.CorrelationID]++
	}
	for _, id := range ids {
		if counts[id] != 2 {
			t.Errorf("%d was answered %d times", id, counts[id])
		}
	}
}

func TestBadFramesEndTheConnection(t *testing.T) {
	w := newWorld(t, &echo{}, native.WithMaxBody(1<<20))
	for name, b := range map[string][]byte{
		"magic":           badHead(func(b []byte) { b[36] ^= 1 }),
		"http":            []byte("GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: test\r\n\r\n"),
		"too big":         badHead(setBody(1<<20 + 1)),
		"negative":        badHead(setBody(0xffffffff)),
		"a push":          encodeFrame(native.TypePush, 1, nil),
		"a response":      encodeFrame(native.TypeResponse, 1, nil),
		"a type 77":       encodeFrame(77, 1, nil),
		"a bad name":      encodeFrame(native.TypeRegister, 1, registration(t, strings.Repeat("x", 300))),
		"a name of 7":     encodeFrame(native.TypeRegister, 1, registration(t, int32(7))),
		"a name of names": encodeFrame(native.TypeRegister, 1, registration(t, []any{"a", "b"})),
		"old brpc-java":   append(make([]byte, 28), append([]byte{6, 0x19, 0x20, 0xfb}, make([]byte, 30)...)...),
		"a control rune":  encodeFrame(native.TypeRegister, 1, registration(t, "a\nb")),
		"unreadable name": encodeFrame(native.TypeRegister, 1, append(registration(t)[:60], 0x1a, 2, 0x99, 1)),
	} {
		f := fake(t, w.addr)
		// What came before is served.
		f.send(native.TypeRequest, 5, echoCall(t, "x"))
		f.want(native.TypeResponse, 5)
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		if name == "unreadable name" {
			continue // it need not be one
		}
		f.closed()
	}
}

// What cannot be answered is not answered, and costs nothing but itself.
func TestSilence(t *testing.T) {
	w := newWorld(t, &echo{do: func(_ context.Context, r *pb.EchoRequest) (*pb.EchoResponse, error) {
		if r.GetMessage() == "fail" {
			return nil, status.Error(codes.Internal, "no")
		}
		return &pb.EchoResponse{Message: r.GetMessage()}, nil
	}})
	f := fake(t, w.addr)
	f.send(native.TypeRequest, 1, echoCall(t, "fail"))
	f.send(native.TypeRequest, 2, requestBody(t, "nobody", "knows"))
	f.send(native.TypeRequest, 3, []byte{0xff})
	f.send(native.TypeRequest, 4, nil)
	f.send(native.TypeRequest, 5, requestBody(t, "com.baidu.brpc.example.push.normal.EchoService", "echo", "no object"))
	f.send(native.TypeRegister, 6, echoCall(t, "one way"))
	f.send(native.TypePushResponse, 7, pushResult(t, "to no push"))
	f.send(native.TypePushResponse, -1, nil)
	f.send(native.TypeRequest, 8, echoCall(t, "x"))
	f.want(native.TypeResponse, 8)
}

func TestRegisterAnswers(t *testing.T) {
	w := newWorld(t, nil, native.WithRegisterResponse())
	f := fake(t, w.addr)
	f.send(native.TypeRegister, 7, registration(t, "c1"))
	if fr := f.want(native.TypeRegisterResponse, 7); fr.Body != 0 {
		t.Errorf("%d bytes in it", fr.Body)
	}
	// Asked for with a call it is answered as a Java server does, byte for byte.
	w = newWorld(t, nil)
	f = fake(t, w.addr)
	f.send(native.TypeRequest, 7, registration(t, "c1"))
	fr := f.want(native.TypeResponse, 7)
	const want = "\n*com.baidu.brpc.server.push.RegisterService\x12\x0eregisterClient\"(\xfa\x07#com.baidu.brpc.server.push.Response\x08\x00"
	if string(fr.raw) != want {
		t.Errorf("got %q", fr.raw)
	}
	await(t, w.came, "client, at once")
}

func TestRefusedName(t *testing.T) {
	s := server.New(server.WithDuplicates(server.RefuseDuplicates))
	w := &world{Server: s}
	w.addr = w.listen(t, native.Protocol())
	c := func() *client.Client { return client.NewDialer(calls(w.addr), "c1") }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for range 2 {
		go func() { ended <- c().Serve(ctx) }()
	}
	if err := await(t, ended, "refusal"); !client.Permanent(err) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
	cancel()
	await(t, ended, "end")
}

// timed runs a test with a clock of its own.
func timed(t *testing.T, f func(t *testing.T, w *world, p *pipes), opts ...native.Option) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{came: make(chan string, 100), gone: make(chan error, 100)}
		w.Server = server.New(server.WithHooks(server.Hooks{
			Connected:    func(s *server.Session) { w.came <- s.Name() },
			Disconnected: func(_ *server.Session, err error) { w.gone <- err },
		}))
		var services native.Services
		pb.RegisterEchoServiceServer(&services, &echo{})
		opts := append([]native.Option{native.WithPushes(&pb.UserPushApi_ServiceDesc), native.WithServices(&services)}, opts...)
		p := newPipes()
		ended := make(chan error)
		go func() { ended <- w.Serve(p, native.Protocol(opts...)) }()
		f(t, w, p)
		w.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestGrace(t *testing.T) {
	timed(t, func(t *testing.T, w *world, p *pipes) {
		began := time.Now()
		f := p.dial(t)
		f.send(native.TypeRegister, 0, registration(t, "c1"))
		<-w.came
		if d := time.Since(began); d != time.Second {
			t.Errorf("a silent client is ready after %v, want 1 s", d)
		}
		began = time.Now()
		f = p.dial(t)
		f.send(native.TypeRegister, 0, registration(t, "c2"))
		f.send(native.TypeRequest, 1, echoCall(t, "x"))
		f.want(native.TypeResponse, 1)
		<-w.came
		if d := time.Since(began); d != 50*time.Millisecond {
			t.Errorf("a client that calls is ready after %v, want 50 ms", d)
		}
		// One that goes before is never known.
		f = p.dial(t)
		f.send(native.TypeRegister, 0, registration(t, "c3"))
		f.Close()
		time.Sleep(time.Minute) // of the bubble's clock
		select {
		case name := <-w.came:
			t.Errorf("%s came", name)
		default:
		}
	})
}

func TestFreshConnectionIsNotPushedTo(t *testing.T) {
	timed(t, func(t *testing.T, w *world, p *pipes) {
		f := p.dial(t)
		f.send(native.TypeRegister, 0, registration(t, "c1"))
		<-w.came
		g := p.dial(t)
		g.send(native.TypeRegister, 1, registration(t, "c1"))
		synctest.Wait()
		f.Close() // only the fresh one is left
		synctest.Wait()
		began := time.Now()
		go w.push(t.Context(), "c1", "", "") //nolint:errcheck // it is not answered
		if _, err := g.receive(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d != 50*time.Millisecond {
			t.Errorf("pushed to after %v, want 50 ms", d)
		}
	})
}

func TestSilentConnections(t *testing.T) {
	timed(t, func(t *testing.T, w *world, p *pipes) {
		ends := func(f *fakeJava) time.Duration {
			began := time.Now()
			f.closed()
			return time.Since(began)
		}
		if d := ends(p.dial(t)); d != 10*time.Second {
			t.Errorf("one that never says anything is closed after %v, want 10 s", d)
		}
		f := p.dial(t)
		f.send(native.TypeRegister, 0, registration(t, nil))
		if d := ends(f); d != 10*time.Minute {
			t.Errorf("an anonymous one is closed after %v, want 10 minutes", d)
		}
		f = p.dial(t)
		if _, err := f.Write(encodeFrame(native.TypeRegister, 0, registration(t, "c9"))[:50]); err != nil {
			t.Fatal(err)
		}
		if d := ends(f); d != time.Minute {
			t.Errorf("one that stops in a frame is closed after %v, want 1 minute", d)
		}
		f = p.dial(t)
		f.send(native.TypeRegister, 0, registration(t, "c1"))
		<-w.came
		time.Sleep(24 * time.Hour) // of the bubble's clock
		if n := sessions(w); n != 1 {
			t.Error("a registered connection was closed for silence")
		}
	})
}

func TestDefaultTimeoutAndMute(t *testing.T) {
	timed(t, func(t *testing.T, w *world, p *pipes) {
		f := p.dial(t)
		f.send(native.TypeRegister, 0, registration(t, "c1"))
		<-w.came
		var pushes []frame
		go func() {
			for {
				fr, err := f.receive()
				if err != nil {
					return
				}
				pushes = append(pushes, fr)
			}
		}()
		push := func() error {
			_, err := pb.NewUserPushApiClient(w.Client("c1")).ClientReceive(t.Context(), &pb.ClientReceiveRequest{Data: &pb.PushData{}})
			return err
		}
		began := time.Now()
		results := make(chan error, 5)
		for range cap(results) {
			go func() { results <- push() }()
		}
		codesOf := make(map[codes.Code]int)
		for range cap(results) {
			err := <-results
			codesOf[status.Code(err)]++
			if status.Code(err) == codes.Unavailable && !strings.Contains(err.Error(), "one_way") {
				t.Errorf("the error does not say what to do: %v", err)
			}
		}
		if codesOf[codes.DeadlineExceeded] != 2 || codesOf[codes.Unavailable] != 3 {
			t.Errorf("got %v, want 2 that time out and 3 that are not sent", codesOf)
		}
		if d := time.Since(began); d != 20*time.Second {
			t.Errorf("that took %v, want twice 10 s", d)
		}
		synctest.Wait()
		if len(pushes) != 2 {
			t.Fatalf("%d pushes were sent, want 2", len(pushes))
		}
		// A late answer shows that the method is there.
		f.send(native.TypePushResponse, pushes[0].CorrelationID, pushResult(t, "late"))
		synctest.Wait()
		done := make(chan error)
		go func() { done <- push() }()
		synctest.Wait()
		if len(pushes) != 3 {
			t.Fatal("it is still not pushed")
		}
		f.send(native.TypePushResponse, pushes[2].CorrelationID, pushResult(t, "x"))
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestSurplusConnections(t *testing.T) {
	timed(t, func(t *testing.T, w *world, p *pipes) {
		var fs []*fakeJava
		for id := range int64(4) {
			f := p.dial(t)
			f.send(native.TypeRegister, id, registration(t, "c1"))
			fs = append(fs, f)
			time.Sleep(time.Second) // of the bubble's clock
		}
		fs[0].closed() // it was silent for the longest
		if n := sessions(w); n != 1 {
			t.Errorf("%d sessions", n)
		}
	}, native.WithMaxConnsPerClient(3))
}

func TestContentlessAnswerIsNull(t *testing.T) {
	w := newWorld(t, nil, soon)
	f := fake(t, w.addr)
	f.send(native.TypeRegister, 0, registration(t, "c1"))
	go func() {
		for {
			fr, err := f.receive()
			if err != nil {
				return
			}
			b := java.Body{Service: "x"}
			f.Write(encodeFrame(native.TypePushResponse, fr.CorrelationID, b.Append(nil)))
		}
	}()
	if r, err := w.push(within(t), "c1", "", ""); err != nil || r != "" {
		t.Errorf("got %q, %v", r, err)
	}
}

func TestAnswersThatCannotBeRead(t *testing.T) {
	w := newWorld(t, nil, soon)
	f := fake(t, w.addr)
	f.send(native.TypeRegister, 0, registration(t, "c1"))
	answers := [][]byte{{0xff}, contentBody(t, "a string"), contentBody(t, java.POJO{Class: "other.Class", Fields: []java.Field{{Number: 1, Type: 0, Value: []byte{1}}}})}
	go func() {
		for i := 0; ; i++ {
			fr, err := f.receive()
			if err != nil {
				return
			}
			f.Write(encodeFrame(native.TypePushResponse, fr.CorrelationID, answers[i%len(answers)]))
		}
	}()
	for range answers {
		if _, err := w.push(within(t), "c1", "", ""); status.Code(err) != codes.Internal {
			t.Errorf("got %v", err)
		}
	}
}

func TestSniffing(t *testing.T) {
	w := &world{Server: server.New()}
	old := native.Protocol(native.WithName("old"), native.WithHeadCodec(shortHead{}))
	w.addr = w.listen(t, native.Protocol(), old)
	for _, h := range []native.HeadCodec{native.BRPC, shortHead{}} {
		e := calls(w.addr, native.WithHeadCodec(h))
		dial(t, e, "c-"+h.Name(), nil)
	}
	for ctx := within(t); sessions(w) < 2; {
		if ctx.Err() != nil {
			t.Fatal("not both came")
		}
	}
	for s := range w.Sessions() {
		want := "native"
		if s.Name() == "c-short" {
			want = "old"
		}
		if s.Peer().Protocol != want {
			t.Errorf("%s came by %s", s.Name(), s.Peer().Protocol)
		}
	}
	fake(t, w.addr).closedAfter([]byte(strings.Repeat("x", 2000)))
}

func (f *fakeJava) closedAfter(b []byte) {
	f.t.Helper()
	f.Write(b)
	f.closed()
}

// shortHead is a head of the user's own: 17 bytes, big-endian.
type shortHead struct{}

func (shortHead) Name() string { return "short" }
func (shortHead) Size() int    { return 17 }

func (shortHead) Append(b []byte, h native.Head) []byte {
	b = append(b, 0xca, 0xfe, byte(h.Type))
	for i := 56; i >= 0; i -= 8 {
		b = append(b, byte(h.CorrelationID>>i))
	}
	return append(b, byte(h.Body>>24), byte(h.Body>>16), byte(h.Body>>8), byte(h.Body), 0, 0)
}

func (shortHead) Parse(b []byte) (h native.Head, err error) {
	if b[0] != 0xca || b[1] != 0xfe {
		return h, fmt.Errorf("no head")
	}
	h.Type = native.FrameType(b[2])
	for _, c := range b[3:11] {
		h.CorrelationID = h.CorrelationID<<8 | int64(c)
	}
	h.Body = int(b[11])<<24 | int(b[12])<<16 | int(b[13])<<8 | int(b[14])
	return h, nil
}
