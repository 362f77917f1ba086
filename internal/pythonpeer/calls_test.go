package pythonpeer

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // a compressor that the client knows
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	notifierpb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

const hour = int32(time.Hour / time.Microsecond / 2)

// interopCases are gRPC's own, as in package conformance.
var interopCases = map[string]func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption){
	"empty unary":                 interop.DoEmptyUnaryCall,
	"large unary":                 interop.DoLargeUnaryCall,
	"client streaming":            interop.DoClientStreaming,
	"server streaming":            interop.DoServerStreaming,
	"ping pong":                   interop.DoPingPong,
	"empty stream":                interop.DoEmptyStream,
	"timeout on sleeping server":  interop.DoTimeoutOnSleepingServer,
	"cancel after begin":          interop.DoCancelAfterBegin,
	"cancel after first response": interop.DoCancelAfterFirstResponse,
	"custom metadata":             interop.DoCustomMetadata,
	"status code and message":     interop.DoStatusCodeAndMessage,
	"special status message":      interop.DoSpecialStatusMessage,
}

func TestInterop(t *testing.T) {
	t.Parallel()
	w, _, stub := connect(t, options{})
	for name, f := range interopCases {
		for kind, opts := range map[string][]grpc.CallOption{"plain": nil, "gzip": {grpc.UseCompressor("gzip")}} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				defer reportFatal(t)
				f(within(t, long), stub, opts...)
			})
		}
	}
	t.Run("unimplemented service", func(t *testing.T) {
		defer reportFatal(t)
		interop.DoUnimplementedService(within(t, long), testgrpc.NewUnimplementedServiceClient(w.push.Client("c1")))
	})
	t.Run("unimplemented method", func(t *testing.T) {
		_, err := stub.UnimplementedCall(within(t, long), &testgrpc.Empty{})
		wantCode(t, err, codes.Unimplemented)
	})
	if n := len(w.gone); n != 0 {
		t.Errorf("got %d sessions that have ended, want none: %v", n, <-w.gone)
	}
}

func reportFatal(t *testing.T) {
	if p := recover(); p != nil {
		text, ok := p.(fatal)
		if !ok {
			panic(p)
		}
		t.Errorf("got the fatal end %q, want none", text)
	}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestUnknownMethodIsRefused(t *testing.T) {
	t.Parallel()
	w, _, _ := connect(t, options{})
	in, out := &testgrpc.Empty{}, &testgrpc.Empty{}
	err := w.push.Client("c1").Invoke(within(t, long), "/grpc.testing.TestService/Missing", in, out)
	wantCode(t, err, codes.Unimplemented)
	if got := tunnel.OutcomeOf(err); got != tunnel.OutcomeRefused {
		t.Errorf("got %v, want refused", got)
	}
	err = w.push.Client("c1").Invoke(within(t, long), "/grpc.testing.TestService/EmptyCall", in, out)
	wantCode(t, err, codes.OK)
}

// TestLargeMessages has 8 MiB go both ways, in pieces, through windows of 64 KiB.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	const size, limit = 8 << 20, 9 << 20
	_, _, stub := connect(t, options{Limits: limits{MaxMessage: limit}},
		server.WithMaxRecvMsgSize(limit), server.WithCallWindow(64<<10, 64<<10))
	for range 2 {
		out, err := stub.UnaryCall(within(t, long), &testgrpc.SimpleRequest{
			Payload: &testgrpc.Payload{Body: make([]byte, size)}, ResponseSize: size, FillUsername: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := out.GetUsername(); got != fmt.Sprint(size) {
			t.Errorf("the handler got %s bytes, want %d", got, size)
		}
		if got := len(out.GetPayload().GetBody()); got != size {
			t.Errorf("got %d bytes, want %d", got, size)
		}
	}
}

func TestTooLargeMessage(t *testing.T) {
	t.Parallel()
	w, _, stub := connect(t, options{Limits: limits{MaxMessage: 1000}})
	for _, opts := range [][]grpc.CallOption{nil, {grpc.UseCompressor("gzip")}} {
		for _, size := range []int{2000, 200_000} {
			_, err := stub.UnaryCall(within(t, long), &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: make([]byte, size)}}, opts...)
			wantCode(t, err, codes.ResourceExhausted)
			if got, _ := tunnel.LimitOf(err); got != tunnel.LimitMessage {
				t.Errorf("got limit %q, want %q: %v", got, tunnel.LimitMessage, err)
			}
			if got := tunnel.OutcomeOf(err); got != tunnel.OutcomeRefused {
				t.Errorf("got outcome %v, want refused", got)
			}
		}
	}
	if _, err := stub.EmptyCall(within(t, long), &testgrpc.Empty{}); err != nil {
		t.Error(err)
	}
	if len(w.gone) > 0 {
		t.Errorf("a session has ended: %v", <-w.gone)
	}
}

// TestStalledHandler makes calls beside a handler that reads nothing, and beside a
// caller that reads nothing.
func TestStalledHandler(t *testing.T) {
	t.Parallel()
	_, p, stub := connect(t, options{})
	ctx, cancel := context.WithCancel(within(t, long))
	defer cancel()

	stalled, err := stub.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	wait := &testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: 1, IntervalUs: hour}}}
	var filling sync.WaitGroup
	defer filling.Wait()
	sent := make(chan struct{}, 1000)
	filling.Go(func() {
		for err := stalled.Send(wait); err == nil; sent <- struct{}{} {
			err = stalled.Send(&testgrpc.StreamingOutputCallRequest{Payload: &testgrpc.Payload{Body: make([]byte, 100_000)}})
		}
	})
	defer cancel()
	await(t, sent, "message to the stalled handler")

	many := &testgrpc.StreamingOutputCallRequest{}
	for range 100 {
		many.ResponseParameters = append(many.ResponseParameters, &testgrpc.ResponseParameters{Size: 100_000})
	}
	unread, err := stub.StreamingOutputCall(ctx, many)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unread.Header(); err != nil {
		t.Fatal(err)
	}

	var calls sync.WaitGroup
	for i := range 100 {
		calls.Go(func() {
			in := &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: make([]byte, 300*i)}, ResponseSize: int32(1000 * i), FillUsername: true}
			out, err := stub.UnaryCall(ctx, in)
			if err != nil {
				t.Errorf("call %d: %v", i, err)
			} else if got, want := out.GetUsername()+" "+fmt.Sprint(len(out.GetPayload().GetBody())), fmt.Sprint(300*i, " ", 1000*i); got != want {
				t.Errorf("call %d: got %s bytes, want %s", i, got, want)
			}
		})
	}
	calls.Wait()
	if ctx.Err() != nil {
		t.Error("the stalled calls have ended before the others")
	}
	for got := range 100 {
		if out, err := unread.Recv(); err != nil || len(out.GetPayload().GetBody()) != 100_000 {
			t.Fatalf("message %d of the unread: %v", got, err)
		}
	}
	if _, err := unread.Recv(); err != io.EOF {
		t.Errorf("got %v, want the end", err)
	}
	cancel()
	p.await(t, "cancelled FullDuplexCall")
}

// TestReadWriteHandler streams to a handler that uses read and write.
func TestReadWriteHandler(t *testing.T) {
	t.Parallel()
	_, _, stub := connect(t, options{Limits: limits{CallWindow: 1024}}, server.WithCallWindow(1024, 1024))
	stream, err := stub.HalfDuplexCall(within(t, long))
	if err != nil {
		t.Fatal(err)
	}
	sizes := []int32{0, 1, 959, 960, 961, 5000, 100_000, 0}
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		for _, size := range sizes {
			in := &testgrpc.StreamingOutputCallRequest{
				ResponseParameters: []*testgrpc.ResponseParameters{{Size: size}},
				Payload:            &testgrpc.Payload{Body: make([]byte, size)},
			}
			if err := stream.Send(in); err != nil {
				t.Errorf("%d bytes: %v", size, err)
				return
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
	})
	var got []int32
	for {
		out, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, int32(len(out.GetPayload().GetBody())))
	}
	if diff := cmp.Diff(sizes, got); diff != "" {
		t.Errorf("sizes (-want +got):\n%s", diff)
	}
}

func TestPlainFunctionAndDetails(t *testing.T) {
	t.Parallel()
	w, _, _ := connect(t, options{})
	stub := notifierpb.NewNotifierClient(w.push.Client("c1"))
	out, err := stub.Notify(within(t, long), &notifierpb.NotifyRequest{Text: "x"})
	if err != nil || out.GetDisplay() != "x" {
		t.Errorf("got %v, %v", out, err)
	}
	stream, err := stub.Install(within(t, long), &notifierpb.InstallRequest{Version: "v9"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	st := status.Convert(err)
	if st.Code() != codes.OutOfRange || st.Message() != "v9" || len(st.Details()) != 1 {
		t.Fatalf("got %v with %v, want OUT_OF_RANGE with a detail", err, st.Details())
	}
	if info, ok := st.Details()[0].(*errdetails.ErrorInfo); !ok || info.GetReason() != "DISK" {
		t.Errorf("got %v, want the reason DISK", st.Details())
	}
}

// TestMetadataLimits has too much metadata go both ways.
func TestMetadataLimits(t *testing.T) {
	t.Parallel()
	_, _, stub := connect(t, options{Limits: limits{MaxMetadata: 3000}}, server.WithMaxMetadata(1000))
	call := func(size int) error {
		pair := metadata.Pairs("x-grpc-test-echo-initial", strings.Repeat("x", size))
		_, err := stub.EmptyCall(metadata.NewOutgoingContext(within(t, long), pair), &testgrpc.Empty{})
		return err
	}
	wantCode(t, call(100), codes.OK)
	wantCode(t, call(2000), codes.ResourceExhausted) // what the handler sends back
	wantCode(t, call(5000), codes.ResourceExhausted)
	wantCode(t, call(100), codes.OK)
}

func TestMaxCalls(t *testing.T) {
	t.Parallel()
	_, p, stub := connect(t, options{Limits: limits{MaxCalls: 1}})
	ctx, cancel := context.WithCancel(within(t, long))
	defer cancel()
	wait := &testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{IntervalUs: hour}}}
	if _, err := stub.StreamingOutputCall(ctx, wait); err != nil {
		t.Fatal(err)
	}
	p.await(t, "began")
	_, err := stub.EmptyCall(within(t, long), &testgrpc.Empty{})
	wantCode(t, err, codes.ResourceExhausted)
	if got, _ := tunnel.LimitOf(err); got != tunnel.LimitCalls && got != tunnel.LimitOutgoingCalls {
		t.Errorf("got limit %q: %v", got, err)
	}
	cancel()
	p.await(t, "cancelled")
	_, err = stub.EmptyCall(within(t, long), &testgrpc.Empty{})
	wantCode(t, err, codes.OK)
}

// TestDeadlineEndsHandler has a dead network, so that it can't be the caller's cancel.
func TestDeadlineEndsHandler(t *testing.T) {
	t.Parallel()
	w, p, stub := connect(t, options{}, server.WithHeartbeat(long))
	ctx := within(t, 3*time.Second)
	wait := &testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{IntervalUs: hour}}}
	stream, err := stub.StreamingOutputCall(ctx, wait)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.await(t, "began"); got != "True" {
		t.Errorf("the handler has a deadline: got %s, want True", got)
	}
	w.listener.freeze()
	_, err = stream.Recv()
	wantCode(t, err, codes.DeadlineExceeded)
	p.await(t, "cancelled StreamingOutputCall")
}
