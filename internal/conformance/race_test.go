package conformance

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
)

// TestEndsExactlyOnce ends many calls at one time from several sides at once: the
// handler, the caller's context, and who reads. Each is told to OnFinish once.
func TestEndsExactlyOnce(t *testing.T) {
	const calls = 200
	synctest.Test(t, func(t *testing.T) {
		push := startTunnel(t, setup{}, func(r grpc.ServiceRegistrar) {
			handlers{stream: func(s *served) error {
				<-time.After(time.Second)
				s.SendMsg(text("a"))
				return nil
			}}.register(r, &transcript{})
		})
		var wg sync.WaitGroup
		var finished [calls]atomic.Int32
		for i := range calls {
			method := methods[1+i%3]
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(999+i%3)*time.Millisecond)
				defer cancel()
				s, err := push.Client(target).NewStream(ctx, descs[method], method, grpc.OnFinish(func(error) { finished[i].Add(1) }))
				if err != nil {
					t.Errorf("opening a stream: got %v, want no error", err)
					return
				}
				time.AfterFunc(time.Second, cancel)
				go s.Header()
				s.SendMsg(text("a"))
				s.CloseSend()
				for s.RecvMsg(&message{}) == nil {
				}
				<-s.Context().Done()
			})
		}
		wg.Wait()
		synctest.Wait()
		for i := range calls {
			if got := finished[i].Load(); got != 1 {
				t.Errorf("OnFinish of call %d: got %d calls, want 1", i, got)
			}
		}
		for session := range push.Sessions() {
			if got := session.InFlight(); got != 0 {
				t.Errorf("the calls under way at the end: got %d, want 0", got)
			}
		}
	})
}
