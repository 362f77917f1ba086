package tunnel

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// pair returns the two ends of a session over a Pipe.
func pair(t *testing.T, server, client Config, inline int64) (s, c *Session) {
	t.Helper()
	a, b := Pipe()
	ta, tb := newTestTransport(a), newTestTransport(b)
	ta.inline.Store(inline)
	tb.inline.Store(inline)
	dial := start(t, func() (err error) {
		c, err = Dial(t.Context(), tb, client)
		return err
	})
	server.Remote.Session = "pair"
	s, err := Accept(t.Context(), ta, server)
	if err != nil {
		t.Fatal(err)
	}
	s.Welcome()
	if err := dial.wait("dialling"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close(nil)
		c.Close(nil)
		synctest.Wait()
		for _, tt := range []*testTransport{ta, tb} {
			if n := tt.pool.out.Load(); n != 0 {
				t.Errorf("%d of the batches received were not freed", n)
			}
		}
	})
	return s, c
}

// Many calls of all kinds at once, of all sizes, some given up: each gets its
// own answer, whole, and nothing is left.
func TestManyCalls(t *testing.T) {
	for name, inline := range map[string]int64{"on goroutines of their own": 0, "of the callers": 16} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := NewWorkers()
				defer w.Close()
				s, c := pair(t, Config{MaxCallWindow: 1 << 20},
					Config{Services: testService{}.services(), CallWindow: 8 << 10, Workers: w}, inline)
				var callers []*async
				for i := range 40 {
					callers = append(callers, start(t, func() error {
						random := rand.New(rand.NewPCG(uint64(i), 1)) //nolint:gosec // a test
						for n := range 20 {
							if err := someCall(s, random, fmt.Sprintf("caller %d call %d ", i, n)); err != nil {
								return fmt.Errorf("caller %d, call %d: %w", i, n, err)
							}
						}
						return nil
					}))
				}
				for _, caller := range callers {
					<-caller.done
					if caller.err != nil {
						t.Error(caller.err)
					}
				}
				synctest.Wait()
				for _, end := range []*Session{s, c} {
					if n := end.InFlight(); n != 0 {
						t.Errorf("got %d calls under way, want none", n)
					}
					if n := end.table.size(); n != 0 {
						t.Errorf("got %d calls in the table, want none", n)
					}
					if n := end.budget.left.Load(); n != defaultMaxBuffered {
						t.Errorf("got a budget of %d bytes, want all", n)
					}
					if end.ended() {
						t.Errorf("the session has ended: %v", end.Err())
					}
				}
			})
		})
	}
}

// someCall makes a call of any kind and checks its answer.
func someCall(s *Session, random *rand.Rand, prefix string) error {
	message := func() string {
		size := []int{0, 1, 100, 3000, 20_000, 30_000, 200_000}[random.IntN(7)]
		return prefix + strings.Repeat("x", random.IntN(size+1))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if random.IntN(2) == 0 {
		want, reply := message(), &wrapperspb.BytesValue{}
		if err := s.Invoke(ctx, unaryMethod, text(want), reply); err != nil {
			return err
		}
		if got := string(reply.GetValue()); got != want {
			return fmt.Errorf("got an answer of %d bytes that begins with %.30q, want %d bytes and %.30q", len(got), got, len(want), want)
		}
		return nil
	}
	stream, err := s.NewStream(ctx, bidiDesc, bidiMethod)
	if err != nil {
		return err
	}
	var sent []string
	for range random.IntN(6) {
		sent = append(sent, message())
	}
	giveUp := -1
	if random.IntN(4) == 0 {
		giveUp = random.IntN(len(sent) + 1)
	}
	go func() {
		for _, m := range sent {
			if stream.SendMsg(text(m)) != nil {
				return
			}
		}
		stream.CloseSend()
	}()
	for i, want := range sent {
		if i == giveUp {
			cancel()
			break
		}
		got, err := receive(stream)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("got the message %d with %d bytes and %.30q, want %d bytes and %.30q", i, len(got), got, len(want), want)
		}
	}
	for {
		_, err := receive(stream)
		switch {
		case err == nil && giveUp >= 0:
		case err == io.EOF, giveUp >= 0 && status.Code(err) == codes.Canceled:
			return nil
		default:
			return fmt.Errorf("at the end: got the error %w, want %w", err, io.EOF)
		}
	}
}

// Calls that are given up all the time, at any moment, leave nothing behind.
func TestCallsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, c := pair(t, Config{}, Config{Services: testService{stream: func(stream grpc.ServerStream) error {
			for {
				if err := stream.SendMsg(text(string(filled(5000)))); err != nil {
					return err
				}
			}
		}}.services()}, 0)
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
		for range 300 {
			ctx, cancel := context.WithCancel(t.Context())
			stream, err := s.NewStream(ctx, bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			for range random.IntN(30) {
				if _, err := receive(stream); err != nil {
					t.Fatal(err)
				}
			}
			if random.IntN(2) == 0 {
				synctest.Wait()
			}
			cancel()
		}
		synctest.Wait()
		for _, end := range []*Session{s, c} {
			if end.ended() {
				t.Fatalf("the session has ended: %v", end.Err())
			}
			if n, m := end.InFlight(), end.table.size(); n != 0 || m != 0 {
				t.Errorf("got %d calls under way and %d in the table, want none", n, m)
			}
		}
	})
}

// Both ends part without loss while calls arrive.
func TestLeaveWhileCallsArrive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, c := pair(t, Config{}, Config{Services: testService{unary: func(_ context.Context, r string) (string, error) {
			time.Sleep(time.Millisecond)
			return r, nil
		}}.services()}, 0)
		var callers []*async
		for range 20 {
			callers = append(callers, start(t, func() error {
				for {
					err := s.Invoke(t.Context(), unaryMethod, text("x"), &wrapperspb.BytesValue{})
					if NotSent(err) {
						return nil
					}
					if err != nil {
						return err
					}
				}
			}))
		}
		time.Sleep(20 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Leave(ctx); err != nil {
			t.Errorf("leaving: got the error %v, want none", err)
			c.Close(nil)
		}
		for i, caller := range callers {
			<-caller.done
			if caller.err != nil {
				t.Errorf("caller %d: got the error %v, want none but not sent", i, caller.err)
			}
		}
		<-s.Done()
		if err := s.Err(); err != nil {
			t.Errorf("got the session's error %v, want none", err)
		}
	})
}

// An answer that comes at the very moment of the deadline: the caller's goroutine and
// the reader end the call together, and only one of them may let it be used again.
func TestAnswersAtTheDeadline(t *testing.T) {
	const rounds, calls = 50, 40
	bubble(t, func(t *testing.T) {
		s, _ := pair(t, Config{}, Config{Services: testService{unary: func(ctx context.Context, r string) (string, error) {
			time.Sleep(time.Second)
			return r, nil
		}}.services()}, 16)
		for range rounds {
			var callers sync.WaitGroup
			for i := range calls {
				callers.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					want, reply := fmt.Sprint(i), &wrapperspb.BytesValue{}
					err := s.Invoke(ctx, unaryMethod, text(want), reply)
					if err == nil && string(reply.GetValue()) != want {
						t.Errorf("got the answer %q, want %q", reply.GetValue(), want)
					}
					if code := status.Code(err); code != codes.OK && code != codes.DeadlineExceeded && code != codes.Canceled {
						t.Errorf("got %v", err)
					}
				})
			}
			callers.Wait()
		}
	})
}
