package javapeer

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/internal/javapeer/interoppb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/java"
	javapb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/java/v1"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// A Java server and a Go client.
func TestJavaServerGoClient(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		s := startServer(t, version, 60)
		do := func(command string, args ...any) (string, error) { return s.Do(within(t, long), command, args...) }
		want := func(want, command string, args ...any) {
			t.Helper()
			if got, err := do(command, args...); err != nil || got != want {
				t.Errorf("%s %v: %q, %v; want %q", command, args, got, err, want)
			}
		}
		e := endpoint(s.Addr)
		impl := &pushApi{label: "go"}
		connected, stop := goClient(t, e, "c1", impl)
		await(t, connected, "session")
		svc := pb.NewSvcClient(e)
		if r, err := svc.Hi(within(t, long), &pb.TextRequest{Text: "x"}); err != nil || r.GetValue() != "hi x" {
			t.Fatalf("%v, %v", r, err)
		}
		want("hi you", "pushHi", "c1", "you")
		threads := s.Threads(t)

		t.Run("B1 and B2 registered once, when Serve says so", func(t *testing.T) { want("{c1=1+0}", "map") })
		t.Run("B3 pushes, waited for or not", func(t *testing.T) {
			want("hi a", "apushHi", "c1", "a")
			want("3", "pushAdd", "c1", 1, 2)
		})
		t.Run("B4 void is answered", func(t *testing.T) { want("returned", "pushVo", "c1", "x") })
		t.Run("B5 an error is silent", func(t *testing.T) {
			var wg sync.WaitGroup
			for _, m := range []string{"pushBoom", "pushNul"} {
				wg.Go(func() {
					began := time.Now()
					if got, err := do(m, "c1", "x"); err == nil {
						t.Errorf("%s returned %q", m, got)
					}
					if d := time.Since(began); d < 9*time.Second {
						t.Errorf("%s failed after %v, want Java's 10 s", m, d)
					}
				})
			}
			wg.Wait()
		})
		t.Run("B6 calls, numbers that fit and those that do not", func(t *testing.T) {
			if r, err := svc.Add(within(t, long), &pb.AddRequest{A: 1, B: 2}); err != nil || r.GetValue() != 3 {
				t.Errorf("%v, %v", r, err)
			}
			if r, err := native.Invoke(within(t, long), e, "interop.svc", "ADD", []any{int16(1), int32(2)}); err != nil || r != int64(3) {
				t.Errorf("%v, %v", r, err)
			}
			// Java callers cannot call it.
			if r, err := svc.Zero(within(t, long), &emptypb.Empty{}); err != nil || r.GetValue() != "zero" {
				t.Errorf("a method without parameters: %v, %v", r, err)
			}
			if _, err := native.Invoke(within(t, time.Second), e, "interop.Svc", "add", []any{int64(1), int64(2)}); status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("%v", err)
			}
		})
		t.Run("B7 what fails is silent", func(t *testing.T) {
			ctx := within(t, time.Second)
			_, boom := svc.Boom(ctx, &pb.TextRequest{})
			_, null := svc.Nul(ctx, &pb.TextRequest{})
			_, missing := svc.Missing(ctx, &pb.TextRequest{})
			_, void := svc.Vo(ctx, &pb.TextRequest{})
			for _, err := range []error{boom, null, missing, void} {
				if status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("%v", err)
				}
			}
		})
		t.Run("B8 a thousand calls at a time", func(t *testing.T) {
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() {
					if r, err := svc.Hi(within(t, long), &pb.TextRequest{Text: "x"}); err != nil || r.GetValue() != "hi x" {
						t.Errorf("%v, %v", r, err)
					}
				})
			}
			wg.Wait()
		})
		t.Run("C1 every value, pushed by Java and back", func(t *testing.T) {
			names, err := do("samples")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range append(fields(names), "mib16", "emoji") {
				want("same", "pushObject", "c1", name)
			}
			want("same", "pushHolder", "c1")
			want("same", "pushFixtures", "c1")
		})
		t.Run("C3 collections and maps of every name", func(t *testing.T) {
			namedCollections(t, func(v any) (any, error) {
				return native.Invoke(within(t, long), e, "interop.Svc", "echoObject", []any{v})
			})
		})
		t.Run("C4 values sent to Java and back", func(t *testing.T) {
			for _, v := range values {
				b, err := java.Append(nil, v)
				if err != nil {
					t.Fatal(err)
				}
				r, err := svc.EchoObject(within(t, long), &pb.ObjectRequest{Value: &javapb.Value{Kind: &javapb.Value_Encoded{Encoded: b}}})
				if err != nil || string(encodedValue(t, r.GetValue())) != string(b) {
					t.Errorf("%v: %v, %v", v, r, err)
				}
			}
			h := goHolder()
			if back, err := svc.EchoHolder(within(t, long), h); err != nil || back.String() != h.String() {
				t.Errorf("%v, %v", back, err)
			}
			f := goFixtures()
			if back, err := svc.EchoFixtures(within(t, long), f); err != nil || back.String() != f.String() {
				t.Errorf("%v\n%v\n%v", f, back, err)
			}
		})
		t.Run("B12 all the bits of an id", func(t *testing.T) {
			c := dialRaw(t, s.Addr)
			ids := map[int64]bool{1 << 32: true, 1<<62 | 7: true, 1<<63 - 1: true, -5: true}
			for id := range ids {
				if _, err := c.Write(rawFrame(t, native.TypeRequest, id, "interop.Svc", "hi", "x")); err != nil {
					t.Fatal(err)
				}
			}
			for range len(ids) {
				head := make([]byte, 48)
				if _, err := io.ReadFull(c, head); err != nil {
					t.Fatal(err)
				}
				h, err := native.BRPC.Parse(head)
				if err != nil || h.Type != native.TypeResponse || !ids[h.CorrelationID] {
					t.Errorf("%+v, %v", h, err)
				}
				delete(ids, h.CorrelationID)
				if _, err := io.CopyN(io.Discard, c, int64(h.Body)); err != nil {
					t.Fatal(err)
				}
			}
		})
		t.Run("C7 an empty body", func(t *testing.T) {
			c := dialRaw(t, s.Addr)
			if _, err := c.Write(native.BRPC.Append(nil, native.Head{Type: native.TypeRequest, CorrelationID: 1})); err != nil {
				t.Fatal(err)
			}
			// It is not answered, and what follows it is.
			if _, err := c.Write(rawFrame(t, native.TypeRequest, 2, "interop.Svc", "hi", "x")); err != nil {
				t.Fatal(err)
			}
			head := make([]byte, 48)
			if _, err := io.ReadFull(c, head); err != nil {
				t.Fatal(err)
			}
			if h, err := native.BRPC.Parse(head); err != nil || h.CorrelationID != 2 {
				t.Errorf("%+v, %v", h, err)
			}
		})
		t.Run("C6 a class that Go does not know", func(t *testing.T) { want("same", "pushObject", "c1", "child") })
		t.Run("B10 leaves nothing behind", func(t *testing.T) {
			stop()
			for ctx := within(t, long); ; {
				got, err := s.Do(ctx, "map")
				if err != nil {
					t.Fatal(err)
				}
				if got == "{}" || got == "{c1=0+0}" {
					break
				}
			}
		})
		t.Run("B13 no thread was lost", func(t *testing.T) {
			if n := s.Threads(t); n != threads {
				t.Errorf("%d worker threads, %d at the start", n, threads)
			}
		})
	})
}

func TestJavaServerClosesIdleConnections(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		s := startServer(t, version, 6)
		impl := &pushApi{label: "go"}
		connected, stop := goClient(t, endpoint(s.Addr), "c1", impl)
		await(t, connected, "session")
		await(t, connected, "session after the server has closed the first") // B9
		if got, err := s.Do(within(t, long), "pushHi", "c1", "x"); err != nil || got != "hi x" {
			t.Errorf("B9: %q, %v", got, err)
		}
		stop()

		// With keep-alive it stays.
		gone := make(chan error, 10)
		stays, _ := goClient(t, endpoint(s.Addr, native.WithKeepAlive(2*time.Second)), "c2", &pushApi{},
			client.WithHooks(client.Hooks{Disconnected: func(_ tunnel.Peer, err error) { gone <- err }}))
		await(t, stays, "session")
		// Another one without, which comes later, is closed twice meanwhile.
		connected, _ = goClient(t, endpoint(s.Addr), "c3", &pushApi{})
		for range 3 {
			await(t, connected, "session")
		}
		select {
		case err := <-gone:
			t.Errorf("B9: it was closed in spite of keep-alive: %v", err)
		default:
		}
		if got, err := s.Do(within(t, long), "pushHi", "c2", "x"); err != nil || got != "hi x" {
			t.Errorf("B9: %q, %v", got, err)
		}
		if n := s.Threads(t); n != 4 {
			t.Errorf("B13: %d worker threads, want 4", n)
		}
	})
}

func TestJavaServerTakesTurns(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		s := startServer(t, version, 60)
		for _, label := range []string{"a", "b", "c"} {
			connected, _ := goClient(t, endpoint(s.Addr, native.WithRegistration(native.OneWay, 0)), "c1", &pushApi{label: label})
			await(t, connected, "session")
		}
		for ctx := within(t, long); ; {
			got, err := s.Do(ctx, "map")
			if err != nil {
				t.Fatal(err)
			}
			if got == "{c1=3+0}" { // B1: as Java clients register
				break
			}
		}
		counts := make(map[string]int)
		for range 30 {
			got, err := s.Do(within(t, long), "who", "c1")
			if err != nil {
				t.Fatal(err)
			}
			counts[got]++
		}
		if counts["a"] != 10 || counts["b"] != 10 || counts["c"] != 10 {
			t.Errorf("B11: %v, want 10 each", counts)
		}
	})
}

// What a Go peer sends is what a Java peer sends, byte for byte.
func TestSameBytes(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		// Java and Java.
		s := startServer(t, version, 60)
		r := record(t, s.Addr)
		p := startClient(t, version, Client{Addr: r.addr, Name: "c1", Conns: 1})
		if _, err := p.Do(within(t, long), "hi", "x"); err != nil {
			t.Fatal(err)
		}
		registered, answered := r.take()
		if _, err := s.Do(within(t, long), "pushHolder", "c1"); err != nil {
			t.Fatal(err)
		}
		pushAnswer, push := r.take()

		// A Go client at the Java server.
		r = record(t, s.Addr)
		e := endpoint(r.addr, native.WithRegistration(native.OneWay, 0))
		connected, stop := goClient(t, e, "c1", &pushApi{})
		await(t, connected, "session")
		if _, err := pb.NewSvcClient(e).Hi(within(t, long), &pb.TextRequest{Text: "x"}); err != nil {
			t.Fatal(err)
		}
		goRegistered, _ := r.take()
		sameFrames(t, "what a Go client sends first", goRegistered, registered)
		kill(t, p)
		for ctx := within(t, long); ; {
			got, err := s.Do(ctx, "map")
			if err != nil {
				t.Fatal(err)
			}
			if got == "{c1=1+0}" {
				break
			}
		}
		if got, err := s.Do(within(t, long), "pushHolder", "c1"); err != nil || got != "same" {
			t.Fatal(got, err)
		}
		goPushAnswer, _ := r.take()
		sameFrames(t, "what a Go client answers", goPushAnswer, pushAnswer)
		stop()

		// A Java client at a Go server.
		g := startGoServer(t)
		r = record(t, g.addr)
		p = startClient(t, version, Client{Addr: r.addr, Name: "c1", Conns: 1})
		if _, err := p.Do(within(t, long), "hi", "x"); err != nil {
			t.Fatal(err)
		}
		_, goAnswered := r.take()
		sameFrames(t, "what a Go server answers", goAnswered, answered)
		await(t, g.came, "client")
		if _, err := g.push("c1").PushHolder(within(t, long), goHolder()); err != nil {
			t.Fatal(err)
		}
		_, goPush := r.take()
		sameFrames(t, "what a Go server pushes", goPush, push)
	})
}

// sameFrames compares frames, but for what each side counts for itself: the log id
// and the correlation id.
func sameFrames(t *testing.T, what string, got, want []byte) {
	t.Helper()
	norm := func(b []byte) string {
		b = append([]byte(nil), b...)
		for rest := b; len(rest) >= 48; {
			clear(rest[4:20])
			n := 48 + int(uint32(rest[44])|uint32(rest[45])<<8|uint32(rest[46])<<16|uint32(rest[47])<<24)
			rest = rest[min(n, len(rest)):]
		}
		return string(b)
	}
	if norm(got) != norm(want) {
		t.Errorf("%s:\n%q\nbut Java:\n%q", what, norm(got), norm(want))
	}
	if len(want) == 0 {
		t.Errorf("%s: nothing was recorded", what)
	}
}

// Java and Java, so that the tests above are known to test something.
func TestJavaServerJavaClient(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		s := startServer(t, version, 60)
		r := record(t, s.Addr)
		p := startClient(t, version, Client{Addr: r.addr, Name: "c1"})
		if got, err := p.Do(within(t, long), "hi", "x"); err != nil || got != "hi x" {
			t.Fatal(got, err)
		}
		if got, err := s.Do(within(t, long), "pushHi", "c1", "y"); err != nil || got != "hi y" {
			t.Fatal(got, err)
		}
		if n := r.conns.Load(); n != 8 {
			t.Errorf("%d connections, want 8", n)
		}
		up, _ := r.take()
		if n := strings.Count(string(up), "registerClient"); n != 8 {
			t.Errorf("%d registrations, want 8", n)
		}
		if _, err := s.Do(within(t, long), "pushVo", "c1", "y"); err == nil {
			t.Error("Java answers a void push: the traps in docs/NATIVE.md are out of date")
		}
	})
}
