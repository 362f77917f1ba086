package javapeer

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/pushtunnel/pushtunnel/internal/javapeer/interoppb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/java"
	javapb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/java/v1"
)

// A Go server and a Go client, through the same services. It needs no Java.
func TestGoServerGoClient(t *testing.T) {
	g := startGoServer(t)
	e := endpoint(g.addr)
	connected, stop := goClient(t, e, "c1", &pushApi{label: "go"})
	await(t, connected, "session")
	await(t, g.came, "client")
	svc, push := pb.NewSvcClient(e), g.push("c1")
	same := func(t *testing.T, what string, got, want interface{ String() string }, err error) {
		t.Helper()
		if err != nil || got.String() != want.String() {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
	}

	t.Run("calls and pushes", func(t *testing.T) {
		ctx := within(t, long)
		if r, err := svc.Hi(ctx, &pb.TextRequest{Text: "x"}); err != nil || r.GetValue() != "hi x" {
			t.Errorf("%v, %v", r, err)
		}
		if r, err := svc.Zero(ctx, &emptypb.Empty{}); err != nil || r.GetValue() != "zero" {
			t.Errorf("%v, %v", r, err)
		}
		if r, err := push.PushAdd(ctx, &pb.AddRequest{A: -1, B: 1 << 40}); err != nil || r.GetValue() != 1<<40-1 {
			t.Errorf("%v, %v", r, err)
		}
		if _, err := push.PushVo(ctx, &pb.TextRequest{}); err != nil {
			t.Errorf("a void push: %v", err)
		}
		if _, err := svc.Vo(ctx, &pb.TextRequest{}); err != nil {
			t.Errorf("a void call: %v", err)
		}
	})
	t.Run("what fails is silent", func(t *testing.T) {
		ctx := within(t, 200*time.Millisecond)
		var wg sync.WaitGroup
		for what, call := range map[string]func() error{
			"an error":          func() error { _, err := svc.Boom(ctx, &pb.TextRequest{}); return err },
			"null":              func() error { _, err := svc.Nul(ctx, &pb.TextRequest{}); return err },
			"no such method":    func() error { _, err := svc.Missing(ctx, &pb.TextRequest{}); return err },
			"an error, pushed":  func() error { _, err := push.PushBoom(ctx, &pb.TextRequest{}); return err },
			"null, pushed":      func() error { _, err := push.PushNul(ctx, &pb.TextRequest{}); return err },
			"no method, pushed": func() error { _, err := push.Missing(ctx, &pb.TextRequest{}); return err },
			"wrong arguments": func() error {
				_, err := native.Invoke(ctx, e, "interop.Svc", "add", []any{int64(1), int64(2)})
				return err
			},
		} {
			wg.Go(func() {
				if err := call(); status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		wg.Wait()
	})
	large := grpc.MaxCallRecvMsgSize(32 << 20)
	t.Run("every value", func(t *testing.T) {
		for _, v := range append([]any{"😀", strings.Repeat("x", 64<<10), strings.Repeat("x", 16<<20)}, values...) {
			b, err := java.Append(nil, v)
			if err != nil {
				t.Fatal(err)
			}
			in := &pb.ObjectRequest{Value: &javapb.Value{Kind: &javapb.Value_Encoded{Encoded: b}}}
			there, err := svc.EchoObject(within(t, long), in, large)
			if err != nil || !bytes.Equal(encodedValue(t, there.GetValue()), b) {
				t.Errorf("called with %.100v: %v", v, err)
			}
			back, err := push.PushObject(within(t, long), in, large)
			if err != nil || !bytes.Equal(encodedValue(t, back.GetValue()), b) {
				t.Errorf("pushed %.100v: %v", v, err)
			}
		}
	})
	t.Run("every field of a class", func(t *testing.T) {
		h, err := svc.EchoHolder(within(t, long), goHolder())
		same(t, "called", h, goHolder(), err)
		h, err = push.PushHolder(within(t, long), goHolder())
		same(t, "pushed", h, goHolder(), err)
		f, err := svc.EchoFixtures(within(t, long), goFixtures())
		same(t, "called", f, goFixtures(), err)
		f, err = push.PushFixtures(within(t, long), goFixtures())
		same(t, "pushed", f, goFixtures(), err)
	})
	t.Run("a thousand at a time", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				if r, err := svc.Hi(within(t, long), &pb.TextRequest{Text: "x"}); err != nil || r.GetValue() != "hi x" {
					t.Errorf("%v, %v", r, err)
				}
			})
			wg.Go(func() {
				if r, err := push.PushHi(within(t, long), &pb.TextRequest{Text: "x"}); err != nil || r.GetValue() != "hi x" {
					t.Errorf("%v, %v", r, err)
				}
			})
		}
		wg.Wait()
	})
	stop()
	await(t, g.gone, "end of the session")
}
