package native_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/internal/mapping/testpb"
	"github.com/pushtunnel/pushtunnel/native/java"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// What a head says besides type, id and size is ignored, and the answer's does not
// repeat it.
func TestOtherFieldsOfAHead(t *testing.T) {
	w := newWorld(t, &echo{})
	f := fake(t, w.addr)
	b := encodeFrame(native.TypeRequest, 7, echoCall(t, "x"))
	le := binary.LittleEndian
	le.PutUint16(b[0:], 9)
	le.PutUint16(b[2:], 2)
	le.PutUint64(b[4:], 55)
	copy(b[20:36], "a provider of 16")
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if fr := f.want(native.TypeResponse, 7); fr.LogID != 0 {
		t.Errorf("the answer has log id %d", fr.LogID)
	}
}

// Frames that come together with a broken one are served before the connection
// ends. Java drops them.
func TestFramesBesideABadOne(t *testing.T) {
	entered := make(chan string, 10)
	w := newWorld(t, &echo{do: func(_ context.Context, r *pb.EchoRequest) (*pb.EchoResponse, error) {
		entered <- r.GetMessage()
		return &pb.EchoResponse{}, nil
	}})
	f := fake(t, w.addr)
	b := encodeFrame(native.TypeRequest, 1, echoCall(t, "a call"))
	b = append(b, encodeFrame(native.TypeRegister, 2, echoCall(t, "one way"))...)
	b = append(b, badHead(func(b []byte) { b[36] ^= 1 })...)
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{await(t, entered, "call"): true, await(t, entered, "call"): true}
	if !seen["a call"] || !seen["one way"] {
		t.Errorf("got %v", seen)
	}
	for { // the answer may come before the end
		if _, err := f.receive(); err != nil {
			break
		}
	}
}

// A client that takes its name back is not pushed to any more, but may call.
func TestNameIsTakenBack(t *testing.T) {
	w := newWorld(t, &echo{}, soon)
	f := fake(t, w.addr)
	f.send(native.TypeRegister, 0, registration(t, "c1"))
	await(t, w.came, "client")
	f.send(native.TypeRegister, 1, registration(t, nil))
	await(t, w.gone, "end of the session")
	if _, err := pb.NewUserPushApiClient(w.Client("c1")).ClientReceive(within(t), &pb.ClientReceiveRequest{}); status.Code(err) != codes.Unavailable || !tunnel.NotSent(err) {
		t.Errorf("got %v", err)
	}
	f.send(native.TypeRequest, 2, echoCall(t, "x"))
	f.want(native.TypeResponse, 2)
}

// A handler may call whoever called it, and be called by that call: no goroutine
// waits for another's turn.
func TestCallsInsideCalls(t *testing.T) {
	var w *world
	w = newWorld(t, &echo{do: func(ctx context.Context, r *pb.EchoRequest) (*pb.EchoResponse, error) {
		if r.GetMessage() == "inner" {
			return &pb.EchoResponse{Message: "end"}, nil
		}
		text, err := w.push(ctx, "c1", "", "")
		return &pb.EchoResponse{Message: text}, err
	}})
	e := calls(w.addr)
	dial(t, e, "c1", &receiver{do: func(ctx context.Context, _ *pb.ClientReceiveRequest) (*pb.PushResult, error) {
		r, err := pb.NewEchoServiceClient(e).Echo(ctx, &pb.EchoRequest{Message: "inner"})
		return &pb.PushResult{Result: r.GetMessage()}, err
	}})
	if r, err := pb.NewEchoServiceClient(e).Echo(within(t), &pb.EchoRequest{Message: "outer"}); err != nil || r.GetMessage() != "end" {
		t.Errorf("got %v, %v", r, err)
	}
}

// A call of a method without parameters may have no list of them, or an empty one.
func TestNoParameters(t *testing.T) {
	var services native.Services
	testpb.RegisterSvcServer(&services, void{})
	w := newWorld(t, nil)
	f := fake(t, w.listen(t, native.Protocol(native.WithServices(&services))))
	if err := f.SetReadDeadline(time.Now().Add(long)); err != nil { // no answer is a failure, too
		t.Fatal(err)
	}
	for id, params := range [][]byte{nil, java.AppendArrayHeader(nil, java.ArrayHeader{Component: java.ObjectClass, Dims: 1})} {
		b := java.Body{Service: "demo.Svc", Method: "zero", Parameters: params}
		f.send(native.TypeRequest, int64(id), b.Append(nil))
		f.want(native.TypeResponse, int64(id))
	}
}

// Answers with another's id are nobody's, and one with an id alone, without the
// names of the method, is enough.
func TestAnswersAreFoundByTheirIDs(t *testing.T) {
	w := newWorld(t, nil, soon)
	f := fake(t, w.addr)
	f.send(native.TypeRegister, 0, registration(t, "c1"))
	go func() {
		fr, err := f.receive()
		if err != nil {
			return
		}
		for _, id := range []int64{fr.CorrelationID + 1, fr.CorrelationID | 1<<62, -fr.CorrelationID} {
			f.Write(encodeFrame(native.TypePushResponse, id, pushResult(t, "another's")))
		}
		f.Write(encodeFrame(native.TypePushResponse, fr.CorrelationID, pushResult(t, "its own")))
	}()
	if r, err := w.push(within(t), "c1", "", ""); err != nil || r != "its own" {
		t.Errorf("got %q, %v", r, err)
	}
}
