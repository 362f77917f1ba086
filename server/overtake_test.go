package server_test

import (
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/server"
)

// A session takes calls as soon as it is in the registry, and that is before the
// server has said hello. No call may overtake the hello: it would be the end of
// the session. Here the server is held up between the two, while it ends the
// session that the new one replaces.
func TestNoCallOvertakesTheHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := &holdUp{release: make(chan struct{})}
		push := server.New(server.WithDuplicates(server.ReplaceDuplicates))
		cc := serveWith(t, push, grpc.StatsHandler(hold))
		dialRaw(t, cc, "clientname", "c1").hello(&pb.Hello{})
		synctest.Wait()

		hold.armed.Store(true)
		r := dialRaw(t, cc, "clientname", "c1")
		r.send(&pb.Frame{Hello: &pb.Hello{Version: 1, CallWindow: 64 << 10, MaxCalls: 10, MaxMetadata: 64 << 10}})
		synctest.Wait()
		answered := make(chan error, 1)
		go func() {
			_, err := ask(t.Context(), push.Client("c1"))
			answered <- err
		}()
		synctest.Wait()
		for s := range push.Sessions("c1") {
			s.Drain("early too")
		}
		close(hold.release)

		var got []*pb.Frame
		for len(got) < 3 {
			batch, err := r.stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range batch.GetFrames() {
				if f.GetReceived() == 0 {
					got = append(got, f)
				}
			}
		}
		if got[0].GetHello() == nil || got[1].GetGoAway() == nil || got[2].GetBegin() == nil {
			t.Fatalf("got the frames %v, want a hello, a go_away and a call", got)
		}
		r.send(&pb.Frame{CallId: got[2].GetCallId(), Message: []byte{}, End: &pb.End{Status: &pb.Status{}}})
		if err := <-answered; err != nil {
			t.Errorf("got %v, want an answer", err)
		}
	})
}

// What ends a session is the reason of its end, and not what comes of it: here
// the client ends the stream in order before the server has done so.
func TestTheFirstReasonCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := &holdUp{release: make(chan struct{})}
		var log hookLog
		push := server.New(log.option())
		cc := serveWith(t, push, grpc.StatsHandler(hold))
		r := dialRaw(t, cc, "clientname", "c1")
		r.hello(&pb.Hello{})
		synctest.Wait()
		hold.armed.Store(true)
		go func() {
			for s := range push.Sessions() {
				s.Close("enough")
			}
		}()
		batch, err := r.stream.Recv()
		if err != nil || batch.GetFrames()[0].GetClose() == nil {
			t.Fatalf("got %v, %v, want a close", batch, err)
		}
		if err := r.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		close(hold.release)
		wantCode(t, <-log.reasons, codes.Unavailable)
		r.wantEnd(codes.Unavailable)
	})
}
