package javapeer

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/internal/javapeer/interoppb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/java"
	javapb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/java/v1"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// A Go server and a Java client. The names say which case a test is: A is a Go
// server with Java clients, B a Java server with Go clients, C values both ways.
func TestGoServerJavaClient(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		g := startGoServer(t, native.WithTimeout(2*time.Second))
		r := record(t, g.addr)
		p := startClient(t, version, Client{Addr: r.addr, Name: "c1", Label: "one", ReadTimeout: 2000})
		do := func(command string, args ...any) (string, error) { return p.Do(within(t, long), command, args...) }
		want := func(want, command string, args ...any) {
			t.Helper()
			if got, err := do(command, args...); err != nil || got != want {
				t.Errorf("%s %v: %q, %v; want %q", command, args, got, err, want)
			}
		}
		s := await(t, g.came, "client")
		push := g.push("c1")

		registered, _ := r.take()

		// Warm up, so that all threads are there.
		want("hi bob", "hi", "bob")
		threads := p.Threads(t)
		if threads == 0 {
			t.Fatal("no worker threads were found")
		}

		t.Run("A1 eight connections are one client", func(t *testing.T) {
			if s.Name() != "c1" || s.Peer().Protocol != "native" {
				t.Errorf("%+v", s.Peer())
			}
			n := 0
			for range g.Sessions() {
				n++
			}
			if n != 1 {
				t.Errorf("%d sessions, want 1", n)
			}
			// The first frame of each connection is its registration.
			heads, bodies := frames(t, registered)
			ids := make(map[int64]bool)
			for i, h := range heads {
				args, err := java.ParseArgs(bodies[i].Parameters, java.Limits{})
				if h.Type != native.TypeRegister || err != nil || len(args) != 1 || args[0] != "c1" {
					t.Errorf("%+v with %v, %v", h, args, err)
				}
				ids[h.CorrelationID] = true
			}
			if len(heads) != 8 || len(ids) != 8 || r.conns.Load() != 8 {
				t.Errorf("%d registrations with %d ids on %d connections, want 8", len(heads), len(ids), r.conns.Load())
			}
		})
		t.Run("A3 calls", func(t *testing.T) {
			want("3", "add", 1, 2)
			got, err := do("types")
			if err != nil || !strings.Contains(got, `z:true`) || !strings.Contains(got, `integer:"-129"`) || !strings.Contains(got, "COLOR_BLUE") {
				t.Errorf("%q, %v", got, err)
			}
		})
		t.Run("A4 void returns", func(t *testing.T) { want("returned", "vo", "x") })
		t.Run("A5 null is silent, and tried three times", func(t *testing.T) {
			if got, err := do("nul", "x"); err == nil {
				t.Errorf("it returned %q", got)
			}
			if n := g.svc.counted("nul"); n != 3 {
				t.Errorf("called %d times, want 3", n)
			}
		})
		t.Run("A6 an error is silent", func(t *testing.T) {
			if got, err := do("boom", "x"); err == nil {
				t.Errorf("it returned %q", got)
			}
		})
		t.Run("A7 pushes", func(t *testing.T) {
			r, err := push.PushHi(within(t, long), &pb.TextRequest{Text: "you"})
			if err != nil || r.GetValue() != "hi you" {
				t.Errorf("%v, %v", r, err)
			}
			sum, err := push.PushAdd(within(t, long), &pb.AddRequest{A: -1, B: 1 << 40})
			if err != nil || sum.GetValue() != 1<<40-1 {
				t.Errorf("%v, %v", sum, err)
			}
		})
		t.Run("A8 wrong arguments cost no thread", func(t *testing.T) {
			_, err := native.Invoke(within(t, time.Second), g.Client("c1"), "interop.PushApi", "pushAdd", []any{int64(1), "x"})
			if status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("%v", err)
			}
		})
		t.Run("A11 void, null and failing pushes time out", func(t *testing.T) {
			began := time.Now()
			_, err := push.PushVo(t.Context(), &pb.TextRequest{})
			if d := time.Since(began); d < 2*time.Second || d > 8*time.Second {
				t.Errorf("void timed out after %v, want the 2 s that are set", d)
			}
			if status.Code(err) != codes.DeadlineExceeded || tunnel.OutcomeOf(err) != tunnel.OutcomeUnknown {
				t.Errorf("void: %v", err)
			}
			for range 2 {
				if _, err = push.PushNul(t.Context(), &pb.TextRequest{}); status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("null: %v", err)
				}
			}
			// It never answered, so it is not pushed any more.
			if _, err = push.PushNul(t.Context(), &pb.TextRequest{}); status.Code(err) != codes.Unavailable || !tunnel.NotSent(err) {
				t.Errorf("null, the third time: %v", err)
			}
			if _, err = push.PushBoom(within(t, time.Second), &pb.TextRequest{}); status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("boom: %v", err)
			}
			if n, err := do("count", "pushNul"); err != nil || n != "2" {
				t.Errorf("pushNul ran %s times, %v", n, err)
			}
		})
		t.Run("C1 every value, sent by Java and back", func(t *testing.T) {
			names, err := do("samples")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range append(fields(names), "mib16") {
				want("same", "echoObject", name)
			}
			// Java cannot read what it writes for this one; it reads what we write.
			if got, err := do("echoObject", "emoji"); err != nil || got != "same" {
				t.Errorf("emoji: %q, %v", got, err)
			}
		})
		t.Run("C3 collections and maps of every name", func(t *testing.T) {
			namedCollections(t, func(v any) (any, error) {
				return native.Invoke(within(t, long), g.Client("c1"), "interop.PushApi", "pushObject", []any{v})
			})
		})
		t.Run("C4 every field of a class", func(t *testing.T) {
			want("same", "echoHolder")
			want("same", "echoFixtures")
			f := goFixtures()
			if back, err := push.PushFixtures(within(t, long), f); err != nil || back.String() != f.String() {
				t.Errorf("%v\n%v\n%v", f, back, err)
			}
		})
		t.Run("C6 values pushed to Java and back", func(t *testing.T) {
			for _, v := range values {
				b, err := java.Append(nil, v)
				if err != nil {
					t.Fatal(err)
				}
				in := &javapb.Value{Kind: &javapb.Value_Encoded{Encoded: b}}
				out, err := push.PushObject(within(t, long), &pb.ObjectRequest{Value: in})
				if err != nil {
					t.Errorf("%v: %v", v, err)
					continue
				}
				if back := encodedValue(t, out.GetValue()); !bytes.Equal(back, b) {
					t.Errorf("%v came back as %x, want %x", v, back, b)
				}
			}
			h := goHolder()
			back, err := push.PushHolder(within(t, long), h)
			if err != nil || back.String() != h.String() {
				t.Errorf("%v\n%v\n%v", h, back, err)
			}
			got, err := native.Invoke(within(t, long), g.Client("c1"), "interop.PushApi", "pushHi", []any{"dyn"})
			if err != nil || got != "hi dyn" {
				t.Errorf("the dynamic form: %v, %v", got, err)
			}
		})
		t.Run("A17 no thread was lost", func(t *testing.T) {
			if n := p.Threads(t); n != threads {
				t.Errorf("%d worker threads, %d at the start", n, threads)
			}
		})
		kill(t, p)
		await(t, g.gone, "end of the session")
	})
}

// A13: a broken peer costs its own connection, no other.
func TestBrokenFramesBesideAJavaClient(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		g := startGoServer(t, native.WithMaxBody(1<<20))
		startClient(t, version, Client{Addr: g.addr, Name: "c1", Conns: 2})
		await(t, g.came, "client")
		for what, b := range map[string][]byte{
			"another magic number":   make([]byte, 48),
			"a body that is too big": native.BRPC.Append(nil, native.Head{Body: 1<<20 + 1}),
			"a negative size":        native.BRPC.Append(nil, native.Head{Body: -1}),
		} {
			c := dialRaw(t, g.addr)
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("A13: %s: %d bytes, %v; want an end", what, n, err)
			}
		}
		if r, err := g.push("c1").PushHi(within(t, long), &pb.TextRequest{Text: "x"}); err != nil || r.GetValue() != "hi x" {
			t.Errorf("A13: %v, %v", r, err)
		}
	})
}

// A14: frames in pieces of a byte, and many at a time.
func TestPiecesAndBatches(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		for _, chop := range []bool{true, false} {
			g := startGoServer(t)
			r := startRecorder(t, g.addr, &recorder{chop: chop})
			p := startClient(t, version, Client{Addr: r.addr, Name: "c1", Conns: 2})
			await(t, g.came, "client")
			for _, sample := range []string{"holder", "string683"} {
				if got, err := p.Do(within(t, long), "echoObject", sample); err != nil || got != "same" {
					t.Errorf("A14: %q, %v", got, err)
				}
			}
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if r, err := g.push("c1").PushHi(within(t, long), &pb.TextRequest{Text: "x"}); err != nil || r.GetValue() != "hi x" {
						t.Errorf("A14: %v, %v", r, err)
					}
				})
			}
			wg.Wait()
		}
	})
}

// A16: a connection without a name is closed for silence, one with a name is not.
func TestIdleJavaClientStays(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		g := startGoServer(t, native.WithIdleTimeout(500*time.Millisecond))
		startClient(t, version, Client{Addr: g.addr, Name: "c1"})
		await(t, g.came, "client")
		for range 3 {
			c := dialRaw(t, g.addr)
			if _, err := c.Write(rawFrame(t, native.TypeRegister, 0, registerService, "registerClient", nil)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("A16: an anonymous connection: %v, want an end", err)
			}
		}
		select {
		case err := <-g.gone:
			t.Errorf("A16: the Java client was closed for silence: %v", err)
		default:
		}
		if r, err := g.push("c1").PushHi(within(t, long), &pb.TextRequest{Text: "x"}); err != nil || r.GetValue() != "hi x" {
			t.Errorf("A16: %v, %v", r, err)
		}
	})
}

const registerService = "com.baidu.brpc.server.push.RegisterService"

func encodedValue(t testing.TB, v *javapb.Value) []byte {
	t.Helper()
	if b := v.GetEncoded(); b != nil {
		return b
	}
	var x any
	switch k := v.GetKind().(type) {
	case *javapb.Value_BooleanValue:
		x = k.BooleanValue
	case *javapb.Value_ByteValue:
		x = int8(k.ByteValue)
	case *javapb.Value_CharValue:
		x = java.Char(k.CharValue)
	case *javapb.Value_ShortValue:
		x = int16(k.ShortValue)
	case *javapb.Value_IntValue:
		x = k.IntValue
	case *javapb.Value_LongValue:
		x = k.LongValue
	case *javapb.Value_FloatValue:
		x = k.FloatValue
	case *javapb.Value_DoubleValue:
		x = k.DoubleValue
	case *javapb.Value_StringValue:
		x = k.StringValue
	}
	b, err := java.Append(nil, x)
	if err != nil {
		t.Fatalf("%v: %v", v, err)
	}
	return b
}

func TestAnonymousJavaClient(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		g := startGoServer(t)
		p := startClient(t, version, Client{Addr: g.addr})
		if got, err := p.Do(within(t, long), "hi", "x"); err != nil || got != "hi x" {
			t.Errorf("%q, %v", got, err)
		}
		for s := range g.Sessions() {
			t.Errorf("A2: there is a session %q", s.Name())
		}
	})
}

// Pushes that come before the push service exists cost a Java client its threads.
// So none does.
func TestEarlyPushes(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		g := startGoServer(t, native.WithGrace(3*time.Second, 50*time.Millisecond))
		result := make(chan error, 20)
		for range cap(result) {
			go func() {
				_, err := g.push("c1").PushHi(within(t, long), &pb.TextRequest{Text: "x"}, grpc.WaitForReady(true))
				result <- err
			}()
		}
		p := startClient(t, version, Client{Addr: g.addr, Name: "c1", DelayMillis: 2000})
		for range cap(result) {
			if err := await(t, result, "answer"); err != nil {
				t.Error(err)
			}
		}
		if n := p.Threads(t); n != 4 {
			t.Errorf("A9: %d worker threads, want 4", n)
		}
	})
}

// A method that the client does not have costs it a thread each time, and there is
// no telling: so it is not tried often.
func TestUnknownMethod(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		g := startGoServer(t, native.WithTimeout(500*time.Millisecond))
		p := StartClient(t, version, Client{Addr: g.addr, Name: "c1"})
		await(t, g.came, "client")
		if _, err := p.Do(within(t, long), "hi", "x"); err != nil {
			t.Fatal(err)
		}
		before := p.Threads(t)
		result := make(chan error, 20)
		for range cap(result) {
			go func() {
				_, err := g.push("c1").Missing(context.WithoutCancel(t.Context()), &pb.TextRequest{})
				result <- err
			}()
		}
		sent := 0
		for range cap(result) {
			if err := await(t, result, "error"); !tunnel.NotSent(err) {
				sent++
			}
		}
		if sent != 2 {
			t.Errorf("%d pushes were sent, want 2", sent)
		}
		if n := p.Threads(t); n < before-2 {
			t.Errorf("%d worker threads, %d before", n, before)
		}
		// The others still work.
		if r, err := g.push("c1").PushHi(within(t, long), &pb.TextRequest{Text: "x"}); err != nil || r.GetValue() != "hi x" {
			t.Errorf("%v, %v", r, err)
		}
	})
}

func TestTwoJavaClientsOfOneName(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		g := startGoServer(t)
		startClient(t, version, Client{Addr: g.addr, Name: "c1", Label: "one"})
		startClient(t, version, Client{Addr: g.addr, Name: "c1", Label: "two"})
		await(t, g.came, "client")
		await(t, g.came, "client")
		counts := make(map[string]int)
		for range 20 {
			r, err := g.push("c1").Who(within(t, long), &pb.TextRequest{})
			if err != nil {
				t.Fatal(err)
			}
			counts[r.GetValue()]++
		}
		if counts["one"] != 10 || counts["two"] != 10 {
			t.Errorf("A10: %v, want 10 each", counts)
		}
	})
}

func TestJavaClientComesBack(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		for _, list := range []bool{true, false} {
			g := startGoServer(t)
			p := startClient(t, version, Client{Addr: g.addr, Name: "c1", List: list})
			await(t, g.came, "client")
			g.Close()
			g2 := startGoServerAt(t, g.addr)
			if !list {
				// It does not come back by itself: only when it calls.
				for i := range 20 {
					if _, err := p.Do(within(t, long), "hi", "x"); err == nil {
						break
					} else if i == 19 {
						t.Fatal(err)
					}
				}
			}
			r, err := g2.push("c1").PushHi(within(t, long), &pb.TextRequest{Text: "x"}, grpc.WaitForReady(true))
			if err != nil || r.GetValue() != "hi x" {
				t.Errorf("A12, list %v: %v, %v", list, r, err)
			}
			kill(t, p)
		}
	})
}

// startGoServerAt starts a server where one was before.
func startGoServerAt(t testing.TB, addr string) *goServer {
	t.Helper()
	g := newGoServer()
	g.addr = g.listen(t, addr)
	return g
}

func TestRegisterResponseIsHarmless(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		g := startGoServer(t, native.WithRegisterResponse())
		p := startClient(t, version, Client{Addr: g.addr, Name: "c1"})
		await(t, g.came, "client")
		if got, err := p.Do(within(t, long), "hi", "x"); err != nil || got != "hi x" {
			t.Errorf("A15: %q, %v", got, err)
		}
		if n := p.Threads(t); n != 4 {
			t.Errorf("A15: %d worker threads, want 4", n)
		}
	})
}
