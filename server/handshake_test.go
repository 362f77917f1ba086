package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

func TestAHandshakeTakesOnlySoLong(t *testing.T) {
	for _, test := range []struct {
		why  string
		opts []server.Option
		want time.Duration
	}{
		{"if nothing is said", nil, 10 * time.Second},
		{"if it is said", []server.Option{server.WithHandshakeTimeout(time.Minute)}, time.Minute},
	} {
		t.Run(test.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				push := tunneltest.NewServer(t, test.opts...)
				r := dialRaw(t, push.Dial(t), "clientname", "c1")
				start := time.Now()
				r.wantEnd(codes.DeadlineExceeded)
				if got := time.Since(start); got != test.want {
					t.Errorf("got an end after %v, want it after %v", got, test.want)
				}
				nobody(t, push)
			})
		})
	}
}

// Who does not say hello is no client: no hook hears of it, and it takes
// nobody's place.
func TestAStreamWithoutAHelloIsNoSession(t *testing.T) {
	for why, leave := range map[string]func(*raw){
		"it ends in order": func(r *raw) { r.stream.CloseSend() },
		"it sends an empty batch and ends": func(r *raw) {
			r.send()
			r.stream.CloseSend()
		},
		"it sends something else": func(r *raw) { r.send(&pb.Frame{Ping: 1}) },
		"it says close":           func(r *raw) { r.send(&pb.Frame{Close: &pb.Status{Code: 13}}) },
		"it says a close of OK":   func(r *raw) { r.send(&pb.Frame{Close: &pb.Status{}}) },
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hooks := 0
				push := tunneltest.NewServer(t, server.WithDuplicates(server.ReplaceDuplicates), server.WithHooks(server.Hooks{
					Connected:    func(*server.Session) { hooks++ },
					Disconnected: func(*server.Session, error) { hooks++ },
				}))
				push.Connect(t, "c1", answers("first"))
				r := dialRaw(t, push.Dial(t), "clientname", "c1")
				synctest.Wait()
				leave(r)
				if err := r.end(); codeOf(err) == codes.OK {
					t.Errorf("got %v, want an error", err)
				}
				synctest.Wait()
				wantAnswer(t, push.Client("c1"), "first")
				if hooks != 1 {
					t.Errorf("got %d hooks, want 1: that of the first client", hooks)
				}
			})
		})
	}
}

func TestAClientOfAnOlderVersionIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		r := dialRaw(t, push.Dial(t), "clientname", "c1")
		r.send(&pb.Frame{Hello: &pb.Hello{Version: 0, CallWindow: 64 << 10}})
		r.wantEnd(codes.FailedPrecondition)
		nobody(t, push)
	})
}
