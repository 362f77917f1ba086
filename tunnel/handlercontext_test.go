package tunnel

import (
	"context"
	"iter"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// handling runs f as the handler of call 1, a stream that has this timeout
// (none if 0), until the peer or f ends it.
func handling(t *testing.T, timeout time.Duration, f func(ctx context.Context)) *scriptedPeer {
	t.Helper()
	p := dialled(t, Config{
		Remote: Peer{Name: "me", Addr: &net.TCPAddr{Port: 7}},
		Services: testService{stream: func(stream grpc.ServerStream) error {
			f(stream.Context())
			return nil
		}}.services(),
	})
	fr := begin(1, bidiMethod)
	fr.Begin.Metadata = &pb.Metadata{Pairs: pairs("key", "value")}
	if timeout != 0 {
		fr.Begin.TimeoutUs = new(uint64(timeout / time.Microsecond)) //nolint:gosec // positive
	}
	p.send(fr)
	return p
}

func TestHandlerContextDeadline(t *testing.T) {
	for name, wait := range map[string]func(ctx context.Context){
		"by Done": func(ctx context.Context) { <-ctx.Done() },
		"by a derived context": func(ctx context.Context) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			<-ctx.Done()
		},
		"by AfterFunc": func(ctx context.Context) {
			done := make(chan struct{})
			context.AfterFunc(ctx, func() { close(done) })
			<-done
		},
		"by Err": func(ctx context.Context) {
			for ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const timeout = 300 * time.Millisecond
				began := time.Now()
				var got error
				p := handling(t, timeout, func(ctx context.Context) {
					if deadline, ok := ctx.Deadline(); !ok || !deadline.Equal(began.Add(timeout)) {
						t.Errorf("got the deadline %v, %v, want %v", deadline, ok, began.Add(timeout))
					}
					wait(ctx)
					got = ctx.Err()
				})
				time.Sleep(timeout + 1)
				p.want("the handler has returned", end(1))
				if got != context.DeadlineExceeded {
					t.Errorf("got the error %v, want %v", got, context.DeadlineExceeded)
				}
			})
		})
	}
}

// A timeout beyond all measure is none that ever passes.
func TestHandlerContextWithAHugeTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialled(t, Config{Services: testService{stream: func(stream grpc.ServerStream) error {
			<-stream.Context().Done()
			return stream.Context().Err()
		}}.services()})
		f := begin(1, bidiMethod)
		f.Begin.TimeoutUs = proto.Uint64(1<<64 - 1)
		p.send(f)
		time.Sleep(24 * time.Hour)
		p.wantIdle("the call goes on")
	})
}

// A timeout of nothing has passed when the call begins.
func TestHandlerContextWithoutTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialled(t, Config{Services: testService{unary: func(ctx context.Context, _ string) (string, error) {
			return "", ctx.Err()
		}}.services()})
		f := request(1, "x")
		f.Begin.TimeoutUs = proto.Uint64(0)
		p.send(f)
		if got := p.next("an answer").GetEnd().GetStatus().GetCode(); codes.Code(got) != codes.DeadlineExceeded {
			t.Errorf("got the code %v, want %v", codes.Code(got), codes.DeadlineExceeded)
		}
	})
}

func TestHandlerContextCancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		notes := make(chan string, 10)
		note := func(s string) func() { return func() { notes <- s } }
		p := handling(t, time.Hour, func(ctx context.Context) {
			stop := context.AfterFunc(ctx, note("stopped"))
			context.AfterFunc(ctx, note("ran"))
			if !stop() || stop() {
				t.Error("got another answer of stop, want true and then false")
			}
			derived, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			<-derived.Done()
			if err := derived.Err(); err != context.Canceled {
				t.Errorf("got the error %v, want %v", err, context.Canceled)
			}
			<-ctx.Done()
			context.AfterFunc(ctx, note("at once"))()
		})
		p.send(cancelled(1))
		synctest.Wait()
		close(notes)
		got := slices.Sorted(channel(notes))
		if want := []string{"at once", "ran"}; !slices.Equal(got, want) {
			t.Errorf("got %q called, want %q", got, want)
		}
		p.wantIdle("a cancelled call is not answered")
	})
}

// channel is what comes out of a channel.
func channel[T any](c <-chan T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for v := range c {
			if !yield(v) {
				return
			}
		}
	}
}

func TestHandlerContextValues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := handling(t, 0, func(ctx context.Context) {
			if _, ok := ctx.Deadline(); ok {
				t.Error("got a deadline, want none")
			}
			if md, ok := metadata.FromIncomingContext(ctx); !ok || !slices.Equal(md.Get("key"), []string{"value"}) {
				t.Errorf("got the metadata %v, want that of the call", md)
			}
			if md, ok := metadata.FromOutgoingContext(ctx); ok {
				t.Errorf("got the outgoing metadata %v, want none", md)
			}
			if m, ok := grpc.Method(ctx); !ok || m != bidiMethod {
				t.Errorf("got the method %q, want %q", m, bidiMethod)
			}
			if p, ok := peer.FromContext(ctx); !ok || p.Addr.String() != ":7" {
				t.Errorf("got the peer %v, want that of the session", p)
			}
			if p, ok := PeerFromContext(ctx); !ok || p.Name != "me" || p.Session != "test-session" {
				t.Errorf("got the tunnel's peer %v, want that of the session", p)
			}
			if ctx.Value("other") != nil {
				t.Error("got a value, want none")
			}
		})
		p.want("the handler has returned", end(1))
	})
	if p, ok := PeerFromContext(t.Context()); ok {
		t.Errorf("outside of a handler: got the peer %v, want none", p)
	}
}

// A context that a handler has given to somebody stays that of its call, though the
// call's memory serves others.
func TestHandlerContextOutlivesItsCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		kept := make(map[string]context.Context)
		p := dialled(t, Config{Services: testService{unary: func(ctx context.Context, request string) (string, error) {
			kept[request] = ctx
			return request, nil
		}}.services()})
		for i, text := range []string{"first", "second", "third"} {
			f := request(uint64(2*i+1), text) //nolint:gosec // small
			f.Begin.Metadata = &pb.Metadata{Pairs: pairs("key", text)}
			p.send(f)
			p.next("an answer")
		}
		for request, ctx := range kept {
			if ctx.Err() != context.Canceled {
				t.Errorf("%s: got the error %v, want %v", request, ctx.Err(), context.Canceled)
			}
			if md, _ := metadata.FromIncomingContext(ctx); !slices.Equal(md.Get("key"), []string{request}) {
				t.Errorf("%s: got the metadata %v, want that of the call", request, md)
			}
			if m, _ := grpc.Method(ctx); m != unaryMethod {
				t.Errorf("%s: got the method %q, want %q", request, m, unaryMethod)
			}
			for what, err := range map[string]error{
				"SetHeader": grpc.SetHeader(ctx, metadata.Pairs("a", "b")), "SendHeader": grpc.SendHeader(ctx, metadata.MD{}),
				"SetTrailer": grpc.SetTrailer(ctx, metadata.Pairs("a", "b")),
			} {
				if status.Code(err) != codes.Internal {
					t.Errorf("%s: %s after the call: got the error %v, want %v", request, what, err, codes.Internal)
				}
			}
		}
		p.wantIdle("nothing of the calls that are over is sent")
	})
}
