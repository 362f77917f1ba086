package interceptors_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// withKey gives a push a key of the test's own.
func withKey(ctx context.Context, key string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, interceptors.KeyMetadata, key)
}

// again is a pair of interceptors that makes each push three times, whatever its
// outcome.
var again = interceptors.Caller{
	Unary: func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) (err error) {
		for range 3 {
			err = invoke(ctx, method, req, reply, cc, opts...)
		}
		return err
	},
}

func TestIdempotencyKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []string
		note := func(ctx context.Context) {
			md, _ := metadata.FromIncomingContext(ctx)
			keys = append(keys, md.Get(interceptors.KeyMetadata)...)
		}
		w := newWorld(t, callers(interceptors.IdempotencyKey(), again))
		w.connect(t, "grpc", "c1", &service{
			receive: func(ctx context.Context, _ *pb.ClientReceiveRequest) (*pb.PushResult, error) {
				note(ctx)
				return &pb.PushResult{}, nil
			},
			duplex: func(s testgrpc.TestService_FullDuplexCallServer) error {
				note(s.Context())
				return nil
			},
		}, nil)
		push := func(ctx context.Context) []string {
			t.Helper()
			keys = nil
			if _, err := receive(ctx, w.Client("c1"), ""); err != nil {
				t.Fatal(err)
			}
			s, err := testgrpc.NewTestServiceClient(w.Client("c1")).FullDuplexCall(ctx)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = s.Recv()
			return keys
		}
		first, second := push(t.Context()), push(t.Context())
		if len(first) != 4 || first[0] != first[1] || first[1] != first[2] {
			t.Errorf("got the keys %q, want three that are the same and one of the stream", first)
		}
		all := []string{first[0], first[3], second[0], second[3]}
		slices.Sort(all)
		if len(slices.Compact(all)) != 4 || len(all[0]) < 26 {
			t.Errorf("got the keys %q, want four long ones of four pushes", all)
		}
		wantSame(t, "keys of the caller's own", push(withKey(t.Context(), "mine")), []string{"mine", "mine", "mine", "mine"})
	})
}

// counter is a service whose answers are numbered. do may be nil.
type counter struct {
	n  int
	do func(ctx context.Context, text string) error
}

func (c *counter) service() *service {
	return &service{receive: func(ctx context.Context, r *pb.ClientReceiveRequest) (*pb.PushResult, error) {
		c.n++
		n := c.n
		if c.do != nil {
			if err := c.do(ctx, r.GetExtra()); err != nil {
				return nil, err
			}
		}
		return &pb.PushResult{Result: fmt.Sprint("answer ", n)}, nil
	}}
}

func deduplicated(t *testing.T, window interceptors.Window, c *counter) *world {
	t.Helper()
	w := newWorld(t, callers(interceptors.IdempotencyKey(), again))
	w.connect(t, "grpc", "c1", c.service(), handlers(interceptors.Deduplicate(window)))
	return w
}

func wantAnswer(t *testing.T, w *world, ctx context.Context, text, want string) {
	t.Helper()
	if got, err := receive(ctx, w.Client("c1"), text); got != want || err != nil {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

func TestDeduplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{}
		w := deduplicated(t, interceptors.Window{}, c)
		wantAnswer(t, w, t.Context(), "", "answer 1")
		wantAnswer(t, w, t.Context(), "", "answer 2")
		wantAnswer(t, w, withKey(t.Context(), "k"), "", "answer 3")
		wantAnswer(t, w, withKey(t.Context(), "k"), "", "answer 3")
		wantAnswer(t, w, withKey(t.Context(), "k2"), "", "answer 4")
		_, err := receive(withKey(t.Context(), "k"), w.Client("c1"), "something else")
		wantError(t, err, codes.InvalidArgument, tunnel.OutcomeAnswered)
		wantAnswer(t, w, withKey(t.Context(), "k"), "", "answer 3")
		time.Sleep(10*time.Minute - time.Nanosecond)
		wantAnswer(t, w, withKey(t.Context(), "k"), "", "answer 3")
		time.Sleep(time.Nanosecond)
		wantAnswer(t, w, withKey(t.Context(), "k"), "something else", "answer 5")
	})
}

// An error is an answer, with its details.
func TestDeduplicateErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{do: func(context.Context, string) error { return tunnel.Limit("mine").Status("no").Err() }}
		w := deduplicated(t, interceptors.Window{}, c)
		_, err := receive(t.Context(), w.Client("c1"), "")
		if l, _ := tunnel.LimitOf(err); l != "mine" || c.n != 1 {
			t.Errorf("got the limit %q of %v after %d calls, want that of the one call", l, err, c.n)
		}
	})
}

// Those that come while the first runs wait for it, or for their own end.
func TestDeduplicateWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{do: func(context.Context, string) error {
			time.Sleep(time.Minute)
			return nil
		}}
		w := newWorld(t, nil)
		w.connect(t, "grpc", "c1", c.service(), handlers(interceptors.Deduplicate(interceptors.Window{})))
		ctx := withKey(t.Context(), "k")
		answers := make(chan string, 10)
		for range 10 {
			go func() {
				got, err := receive(ctx, w.Client("c1"), "")
				answers <- fmt.Sprint(got, err)
			}()
		}
		short, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		_, err := receive(short, w.Client("c1"), "")
		wantError(t, err, codes.DeadlineExceeded, tunnel.OutcomeUnknown)
		for range 10 {
			wantSame(t, "an answer", <-answers, "answer 1<nil>")
		}
	})
}

// The handler outlives its session; the push is repeated on the next one, and gets
// the answer of the first.
func TestDeduplicateAcrossSessions(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := &counter{do: func(ctx context.Context, _ string) error {
				if _, ok := ctx.Deadline(); ok {
					return errors.New("got a deadline, want none")
				}
				select {
				case <-time.After(5 * time.Second):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}}
			w := newWorld(t, nil)
			r := w.connect(t, "grpc", "c1", c.service(), handlers(interceptors.Deduplicate(interceptors.Window{})))
			ctx := withKey(t.Context(), "k")
			go func() {
				time.Sleep(time.Second)
				for s := range w.Sessions() {
					s.Close("a test")
				}
			}()
			_, err := receive(ctx, w.Client("c1"), "")
			wantError(t, err, codes.Unavailable, tunnel.OutcomeUnknown)
			<-r.connected
			if late {
				time.Sleep(time.Minute) // the answer is there
			}
			got, err := receive(ctx, w.Client("c1"), "", grpc.WaitForReady(true))
			if got != "answer 1" || err != nil {
				t.Errorf("got %q, %v, want the answer 1", got, err)
			}
		})
	}
}

// A handler that nobody waits for ends after the grace, and not while one waits.
func TestDeduplicateGrace(t *testing.T) {
	for _, tc := range []struct {
		grace time.Duration
		again time.Duration // when another call comes, if ever
		stays time.Duration // how long it waits
		want  time.Duration // when the handler ends
	}{
		{0, 0, 0, 11 * time.Second},
		{0, 10 * time.Second, 9 * time.Second, 29 * time.Second},
		{0, 2 * time.Second, time.Second, 13 * time.Second},
		{time.Minute, 0, 0, 61 * time.Second},
		{-1, 0, 0, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, ended := time.Now(), make(chan time.Duration, 10)
			c := &counter{do: func(ctx context.Context, _ string) error {
				<-ctx.Done()
				ended <- time.Since(began)
				return ctx.Err()
			}}
			w := newWorld(t, nil)
			w.connect(t, "grpc", "c1", c.service(), handlers(interceptors.Deduplicate(interceptors.Window{Grace: tc.grace})))
			began = time.Now()
			push := func(d time.Duration) {
				ctx, cancel := context.WithTimeout(withKey(t.Context(), "k"), d)
				defer cancel()
				_, err := receive(ctx, w.Client("c1"), "")
				if tc.grace < 0 && status.Code(err) == codes.Canceled {
					return // the handler has answered at the moment of the deadline
				}
				wantError(t, err, codes.DeadlineExceeded, tunnel.OutcomeUnknown)
			}
			push(time.Second)
			if tc.again > 0 {
				time.Sleep(tc.again - time.Second)
				push(tc.stays)
			}
			if got := <-ended; got != tc.want || c.n != 1 {
				t.Errorf("grace %v, again at %v: the handler ended after %v, want %v; it ran %d times, want once", tc.grace, tc.again, got, tc.want, c.n)
			}
		})
	}
}

// The oldest answers make room; a handler that runs stays.
func TestDeduplicateMakesRoom(t *testing.T) {
	large := func(n int) string { return string(make([]byte, n)) }
	for name, window := range map[string]interceptors.Window{
		"answers": {MaxAnswers: 3},
		"bytes":   {MaxBytes: 2500}, // fewer than five
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				c := &counter{do: func(_ context.Context, text string) error {
					if text == "hang" {
						<-release
					}
					if text == "large" {
						return status.Error(codes.Internal, large(3000))
					}
					return nil
				}}
				w := newWorld(t, nil)
				w.connect(t, "grpc", "c1", c.service(), handlers(interceptors.Deduplicate(window)))
				key := func(k string) context.Context { return withKey(t.Context(), k) }
				hung := make(chan string, 1)
				go func() {
					got, _ := receive(key("hung"), w.Client("c1"), "hang")
					hung <- got
				}()
				synctest.Wait()
				for i := range 8 {
					wantAnswer(t, w, key(fmt.Sprint(i)), "", fmt.Sprint("answer ", 2+i))
				}
				wantAnswer(t, w, key("7"), "", "answer 9")
				wantAnswer(t, w, key("6"), "", "answer 8")
				wantAnswer(t, w, key("0"), "", "answer 10") // it was forgotten
				if window.MaxBytes > 0 {
					_, err := receive(key("large"), w.Client("c1"), "large") // 11
					wantError(t, err, codes.Internal, tunnel.OutcomeAnswered)
					wantAnswer(t, w, key("0"), "", "answer 10") // nothing made room for it
				}
				go func() {
					got, _ := receive(key("hung"), w.Client("c1"), "hang")
					hung <- got
				}()
				synctest.Wait()
				close(release)
				wantSame(t, "the first answer", <-hung, "answer 1")
				wantSame(t, "and the same again", <-hung, "answer 1")
			})
		})
	}
}

// A handler that panics is no answer: those that wait get an error, and the next
// runs it again.
func TestDeduplicatePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recovered := interceptors.Handler{Unary: func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (_ any, err error) {
			defer func() {
				if v := recover(); v != nil {
					err = status.Error(codes.DataLoss, "recovered outside")
				}
			}()
			return handler(ctx, req)
		}}
		release := make(chan struct{})
		c := &counter{do: func(context.Context, string) error {
			<-release
			panic("a test")
		}}
		w := newWorld(t, nil)
		w.connect(t, "grpc", "c1", c.service(), handlers(recovered, interceptors.Deduplicate(interceptors.Window{})))
		got := make(chan codes.Code, 2)
		for range 2 {
			go func() {
				_, err := receive(withKey(t.Context(), "k"), w.Client("c1"), "")
				got <- status.Code(err)
			}()
		}
		synctest.Wait()
		close(release)
		codesGot := []codes.Code{<-got, <-got}
		slices.Sort(codesGot)
		wantSame(t, "the codes", codesGot, []codes.Code{codes.Internal, codes.DataLoss})
		_, err := receive(withKey(t.Context(), "k"), w.Client("c1"), "")
		if status.Code(err) != codes.DataLoss || c.n != 2 {
			t.Errorf("got %v after %d calls, want another call", err, c.n)
		}
	})
}

// The native protocol has no metadata: pushes pass.
func TestDeduplicateNative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, callers(interceptors.IdempotencyKey(), again))
		c := &counter{}
		w.connect(t, "native", "c1", c.service(), handlers(interceptors.Deduplicate(interceptors.Window{})))
		wantAnswer(t, w, t.Context(), "", "answer 3")
	})
}

// Clients that share a Deduplicate do not share answers.
func TestDeduplicateTellsClientsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		shared := interceptors.Deduplicate(interceptors.Window{})
		c := &counter{}
		w.connect(t, "grpc", "c1", c.service(), handlers(shared))
		w.connect(t, "grpc", "c2", c.service(), handlers(shared))
		ctx := withKey(t.Context(), "k")
		wantAnswer(t, w, ctx, "", "answer 1")
		if got, err := receive(ctx, w.Client("c2"), ""); got != "answer 2" || err != nil {
			t.Errorf("got %q, %v, want the answer 2", got, err)
		}
	})
}
