package tunneltest_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// announce is what the program to be tested does: it tells all displays of a
// room, and counts those that have shown the text.
func announce(ctx context.Context, push *server.Server, room, text string) (shown int, err error) {
	call := func(ctx context.Context, s *server.Session) (*pb.NotifyResponse, error) {
		return pb.NewNotifierClient(s).Notify(ctx, &pb.NotifyRequest{Text: text})
	}
	for _, r := range server.Fanout(ctx, push.Sessions(room), call) {
		if r.Err != nil {
			err = r.Err
			continue
		}
		shown++
	}
	return shown, err
}

// fake is a display that answers as the test wants.
type fake struct {
	pb.UnimplementedNotifierServer
	err error
}

func (f *fake) Notify(context.Context, *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	return &pb.NotifyResponse{}, f.err
}

func (f *fake) register(r grpc.ServiceRegistrar) { pb.RegisterNotifierServer(r, f) }

// A test connects fakes under the names that the program calls. All ends when
// the test does. It works in a synctest bubble too, where time costs nothing.
func ExampleServer_Connect() {
	test := func(t testing.TB) { // func TestAnnounce(t *testing.T)
		push := tunneltest.NewServer(t)
		push.Connect(t, "hall", (&fake{}).register)
		push.Connect(t, "hall", (&fake{}).register)
		push.Connect(t, "hall", (&fake{err: status.Error(codes.Internal, "out of paper")}).register)

		shown, err := announce(t.Context(), push.Server, "hall", "Fire!")
		if shown != 2 {
			t.Errorf("got %d displays, want 2", shown)
		}
		if status.Code(err) != codes.Internal {
			t.Errorf("got the error %v, want Internal", err)
		}
		fmt.Println(shown, err)
	}
	runTest(test)

	// Output: 2 rpc error: code = Internal desc = out of paper
}

// A client that leaves: what the program sees of it.
func ExampleServer() {
	test := func(t testing.TB) { // func TestNobodyThere(t *testing.T)
		push := tunneltest.NewServer(t)
		kitchen := push.Connect(t, "kitchen", (&fake{}).register)
		if err := kitchen.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}

		_, err := pb.NewNotifierClient(push.Client("kitchen")).Notify(t.Context(), &pb.NotifyRequest{})
		fmt.Println(status.Code(err))
	}
	runTest(test)

	// Output: Unavailable
}

// runTest runs a test inside an example, which has no testing.T.
func runTest(test func(testing.TB)) {
	ctx, cancel := context.WithCancel(context.Background())
	t := &exampleTB{ctx: ctx}
	test(t)
	cancel()
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

// exampleTB is what tunneltest needs of a testing.TB.
type exampleTB struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
}

func (t *exampleTB) Helper()                           {}
func (t *exampleTB) Context() context.Context          { return t.ctx }
func (t *exampleTB) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleTB) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (t *exampleTB) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (t *exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
