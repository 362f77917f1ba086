package native_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// A client that does not read holds up its own pushes until their deadlines, nobody
// else's, and does not fill the memory.
func TestClientThatDoesNotRead(t *testing.T) {
	w := newWorld(t, nil, soon)
	f := fake(t, w.addr)
	f.send(native.TypeRequest, 1, registration(t, "stalled"))
	f.want(native.TypeResponse, 1)
	await(t, w.came, "client")
	dial(t, calls(w.addr), "good", nil)
	await(t, w.came, "client")

	const pushes, size = 60, 1 << 20
	before := heap()
	results := make(chan error, pushes)
	text := strings.Repeat("x", size)
	ctx, cancel := context.WithCancel(t.Context())
	for range pushes {
		go func() {
			_, err := w.push(ctx, "stalled", "", text)
			results <- err
		}()
	}
	for range 10 {
		if _, err := w.push(within(t), "good", "", "x"); err != nil {
			t.Fatal(err)
		}
	}
	// What the calls themselves hold is theirs; what waits to be sent is ours.
	if held := heap() - before; held > 4*pushes*size {
		t.Errorf("%d MiB are held for %d MiB of pushes", held>>20, pushes*size>>20)
	}
	cancel()
	notSent := 0
	for range pushes {
		err := await(t, results, "end of a push")
		if status.Code(err) != codes.Canceled {
			t.Errorf("got %v", err)
		}
		if tunnel.NotSent(err) {
			notSent++
		}
	}
	if notSent == 0 {
		t.Error("all were queued")
	}
}

// The calls of a client are bounded, in number and in bytes.
func TestCallsOfAPeerAreBounded(t *testing.T) {
	entered := make(chan struct{}, 100)
	refused := &logged{came: make(chan string, 10)}
	w := newWorld(t, &echo{do: func(ctx context.Context, _ *pb.EchoRequest) (*pb.EchoResponse, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}}, native.WithLogger(slog.New(refused)), native.WithMaxAnonymousBody(64<<20))
	f := fake(t, w.addr)
	const size = 20 << 20 // of 64 MiB in all
	text := strings.Repeat("x", size)
	for id := range int64(4) {
		f.send(native.TypeRequest, id, echoCall(t, text))
	}
	for range 3 {
		await(t, entered, "call")
	}
	// The fourth is not answered: the protocol has no errors.
	if reason := await(t, refused.came, "refusal"); !strings.Contains(reason, `the limit "buffered"`) {
		t.Errorf("it was refused because %s", reason)
	}
	if len(entered) > 0 {
		t.Error("80 MiB are held")
	}
}

// logged are the reasons that are logged.
type logged struct {
	slog.Handler
	came chan string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "reason" {
			select {
			case l.came <- a.Value.String():
			default:
			}
		}
		return true
	})
	return nil
}

func TestEndpointWaitsForTheServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	e := calls(addr)
	defer e.Close()
	finished := make(chan error, 1)
	_, err = pb.NewEchoServiceClient(e).Echo(within(t), &pb.EchoRequest{}, grpc.OnFinish(func(err error) { finished <- err }))
	if status.Code(err) != codes.Unavailable || !tunnel.NotSent(err) || await(t, finished, "end") == nil {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := pb.NewEchoServiceClient(e).Echo(ctx, &pb.EchoRequest{}, grpc.WaitForReady(true)); status.Code(err) != codes.DeadlineExceeded || !tunnel.NotSent(err) {
		t.Errorf("got %v", err)
	}
	result := make(chan error, 1)
	go func() {
		_, err := pb.NewEchoServiceClient(e).Echo(within(t), &pb.EchoRequest{}, grpc.WaitForReady(true))
		result <- err
	}()
	w := newWorld(t, nil)
	l, err = net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var services native.Services
	pb.RegisterEchoServiceServer(&services, &echo{})
	go w.Serve(l, native.Protocol(native.WithServices(&services)))
	if err := await(t, result, "answer"); err != nil {
		t.Error(err)
	}
}
