package promises_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/faultnet"
	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// hostile is a client, or a server, that sends what it likes: the messages of its
// stream are bytes.
type hostile struct{ grpc.Stream }

// connectDesc is that of PushTunnel.Connect.
var connectDesc = &grpc.StreamDesc{StreamName: "Connect", ServerStreams: true, ClientStreams: true}

// attack opens the stream of a session.
func (w *world) attack(t *testing.T, cc *grpc.ClientConn, name string) *hostile {
	t.Helper()
	s, err := cc.NewStream(metadata.AppendToOutgoingContext(t.Context(), tunnel.NameKey, name), connectDesc, tunnel.ConnectMethod, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		t.Fatal(err)
	}
	return &hostile{s}
}

// rawCodec sends and receives []byte as it is.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil //nolint:errcheck,forcetypeassert // nothing else is sent
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize() //nolint:errcheck,forcetypeassert // nothing else is received
	return nil
}

// hello is what a client of good manners says first.
func hello() []byte {
	return encode(&pb.Frame{Hello: &pb.Hello{Version: 1, CallWindow: 64 << 10, MaxCalls: 100, MaxMetadata: 64 << 10}})
}

func encode(frames ...*pb.Frame) []byte {
	b, err := proto.Marshal(&pb.Batch{Frames: frames})
	if err != nil {
		panic(err)
	}
	return b
}

// settle connects a client of good manners, makes a call to it, and returns how
// many goroutines there are then.
func (w *world) settle(t *testing.T) int {
	t.Helper()
	w.connect(t, "good", echo())
	if _, err := w.stub("good").UnaryCall(t.Context(), request(1)); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return runtime.NumGoroutine()
}

// end reads until the stream ends, and returns why.
func (h *hostile) end() error {
	for {
		var b []byte
		if err := h.RecvMsg(&b); err != nil {
			return err
		}
	}
}

// nested is a message of one field in which another is nested, and so on.
func nested(depth int) []byte {
	var b []byte
	for range depth {
		b = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), b)
	}
	return b
}

// groups are so many groups, each in the other.
func groups(depth int) []byte {
	var b []byte
	for range depth {
		b = protowire.AppendTag(b, 100, protowire.StartGroupType)
	}
	for range depth {
		b = protowire.AppendTag(b, 100, protowire.EndGroupType)
	}
	return b
}

// attacks are what a hostile client sends, and the codes that it may get.
var attacks = map[string]struct {
	send []([]byte) // the last one again and again, until the end of the stream
	want []codes.Code
}{
	"no hello":                   {[][]byte{encode(&pb.Frame{Ping: 1})}, []codes.Code{codes.Internal}},
	"random bytes for a hello":   {[][]byte{{0xff, 0x01, 0x80, 0x80}}, []codes.Code{codes.Internal}},
	"a frame cut short":          {[][]byte{hello(), {0x0a, 0x7f, 0x01}}, []codes.Code{codes.Internal}},
	"a length beyond all":        {[][]byte{hello(), {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}}, []codes.Code{codes.Internal}},
	"a varint without an end":    {[][]byte{hello(), {0x0a, 0x0b, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, []codes.Code{codes.Internal}},
	"a second hello":             {[][]byte{hello(), hello()}, []codes.Code{codes.Internal}},
	"a batch of 2 MiB":           {[][]byte{hello(), protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), make([]byte, 2<<20))}, []codes.Code{codes.Internal}},
	"a batch of 5 MiB":           {[][]byte{hello(), protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), make([]byte, 5<<20))}, []codes.Code{codes.ResourceExhausted, codes.Internal}},
	"a flood of pings":           {[][]byte{hello(), encode(&pb.Frame{Ping: 7}, &pb.Frame{Ping: 8})}, []codes.Code{codes.Internal}},
	"an answer to no call":       {[][]byte{hello(), encode(&pb.Frame{CallId: 1, End: &pb.End{}})}, []codes.Code{codes.Internal}},
	"calls of its own":           {[][]byte{hello(), encode(&pb.Frame{CallId: 2, Begin: &pb.Begin{Method: "/s/m"}})}, []codes.Code{codes.Internal}},
	"a call with the wrong id":   {[][]byte{hello(), encode(&pb.Frame{CallId: 1, Begin: &pb.Begin{Method: "/s/m"}})}, []codes.Code{codes.Internal}},
	"a window beyond all":        {[][]byte{hello(), encode(&pb.Frame{CallId: 1, Window: 1 << 62})}, []codes.Code{codes.Internal}},
	"more received than was":     {[][]byte{hello(), encode(&pb.Frame{Received: 1 << 40})}, []codes.Code{codes.Internal}},
	"the server's word":          {[][]byte{hello(), encode(&pb.Frame{Done: true})}, []codes.Code{codes.Internal}},
	"an unknown critical frame":  {[][]byte{hello(), encode(&pb.Frame{Critical: true})}, []codes.Code{codes.Internal}},
	"a hello nested too deeply":  {[][]byte{protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), protowire.AppendBytes(protowire.AppendTag(nil, 12, protowire.BytesType), nested(20_000)))}, []codes.Code{codes.FailedPrecondition}},
	"groups nested too deeply":   {[][]byte{hello(), protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), groups(100_000))}, []codes.Code{codes.Internal}},
	"a window of no use":         {[][]byte{encode(&pb.Frame{Hello: &pb.Hello{Version: 1, CallWindow: 1}})}, []codes.Code{codes.Internal}},
	"a version that is too old":  {[][]byte{encode(&pb.Frame{Hello: &pb.Hello{CallWindow: 64 << 10}})}, []codes.Code{codes.FailedPrecondition}},
	"a status of no known code":  {[][]byte{hello(), encode(&pb.Frame{Close: &pb.Status{Code: 1 << 31}})}, nil},
	"a go_away without an end":   {[][]byte{hello(), encode(&pb.Frame{GoAway: &pb.GoAway{ReconnectAfterMs: 1 << 31}})}, nil},
	"frames of an unknown kind":  {[][]byte{hello(), protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))}, nil},
	"empty batches":              {[][]byte{hello(), {}}, nil},
	"confirmations without need": {[][]byte{hello(), encode(&pb.Frame{Received: 1})}, nil},
}

// A hostile client is cut off with a clear error, or does no harm. Beside it
// another client is served as ever.
func TestAHostileClientHarmsNobody(t *testing.T) {
	for why, attack := range attacks {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, faultnet.Config{})
				goroutines := w.settle(t)

				for range 5 {
					w.suffer(t, attack.send, attack.want)
				}
				if got := runtime.NumGoroutine(); got > goroutines+spare {
					t.Errorf("got %d goroutines when it has gone, want the %d before", got, goroutines)
				}
				if _, ok := <-sessionsOf(w, "bad"); ok {
					t.Error("got a session of the attacker, want none")
				}
			})
		})
	}
}

// spare is how many goroutines may wait for the next call of the good client.
const spare = 2

// suffer lets a hostile client attack, and checks that it is cut off, and that
// the good one is served.
func (w *world) suffer(t *testing.T, send [][]byte, want []codes.Code) {
	t.Helper()
	cc := w.connection(t)
	h := w.attack(t, cc, "bad")
	var err error
	for i := range 2000 {
		if err = h.SendMsg(send[min(i, len(send)-1)]); err != nil {
			break
		}
		if i%100 < len(send) {
			synctest.Wait()
		}
	}
	if want != nil {
		wantCode(t, "the attacker", h.end(), want...)
	}
	if _, err := w.stub("good").UnaryCall(t.Context(), request(100_000)); err != nil {
		t.Errorf("the other client: got %v, want an answer", err)
	}
	cc.Close() //nolint:errcheck // nothing to do about it
	synctest.Wait()
}

// sessionsOf sends the sessions of a name.
func sessionsOf(w *world, name string) <-chan *server.Session {
	all := make(chan *server.Session, 10)
	defer close(all)
	for s := range w.Sessions(name) {
		all <- s
	}
	return all
}

// Whatever bytes a client sends, in whatever order, it is cut off or does no
// harm: batches that were right once, with bytes changed, left out and added.
func TestBytesAtRandomHarmNobody(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, faultnet.Config{})
		cc := w.connection(t)
		w.attack(t, cc, "bad").end() //nolint:errcheck // it opens the connection
		goroutines := w.settle(t)
		before := heap()
		ends := map[string]int{}
		for seed := range uint64(rounds) { //nolint:gosec // not negative
			rnd := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // a test
			h := w.attack(t, cc, "bad")
			if rnd.IntN(4) > 0 {
				h.SendMsg(hello()) //nolint:errcheck // it is the peer's to complain
			}
			for range 1 + rnd.IntN(10) {
				synctest.Wait()
				if h.SendMsg(mutate(rnd)) != nil {
					break
				}
				w.push("bad")
			}
			h.Stream.(grpc.ClientStream).CloseSend() //nolint:errcheck,forcetypeassert // always nil
			ends[status.Code(h.end()).String()]++
		}
		synctest.Wait()
		if _, err := w.stub("good").UnaryCall(t.Context(), request(1000)); err != nil {
			t.Errorf("the other client: got %v, want an answer", err)
		}
		synctest.Wait()
		if got := runtime.NumGoroutine(); got > goroutines+spare {
			t.Errorf("got %d goroutines, want the %d before", got, goroutines)
		}
		if got := heap() - before; got > 4<<20 {
			t.Errorf("got %d bytes more in the heap, want hardly any", got)
		}
		t.Logf("the streams ended with %v", ends)
		if ends["Internal"] < rounds/4 {
			t.Errorf("got ends of %v, want many with Internal", ends)
		}
	})
}

// push makes a call to a client that may not be there, and does not wait.
func (w *world) push(name string) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.stub(name).UnaryCall(ctx, request(10)) //nolint:errcheck // it fails
	}()
}

// mutate returns a batch that is almost right.
func mutate(rnd *rand.Rand) []byte {
	id := uint64(rnd.IntN(8)) //nolint:gosec // not negative
	frames := []*pb.Frame{
		{CallId: id, Header: &pb.Metadata{Pairs: []*pb.Pair{{Key: "k", Value: []byte("v")}}}},
		{CallId: id, Message: make([]byte, rnd.IntN(100))},
		{CallId: id, Message: make([]byte, 10), MessageSize: uint64(rnd.IntN(1 << 30))},                                             //nolint:gosec // not negative
		{CallId: id, End: &pb.End{Status: &pb.Status{Code: uint32(rnd.IntN(20)), Message: []byte{0xff}, Details: []byte{1, 2, 3}}}}, //nolint:gosec // not negative
		{CallId: id, Window: uint64(rnd.IntN(1 << 31))},                                                                             //nolint:gosec // not negative
		{Ping: uint64(rnd.IntN(9))},       //nolint:gosec // not negative
		{Pong: uint64(rnd.IntN(9))},       //nolint:gosec // not negative
		{Received: uint64(rnd.IntN(100))}, //nolint:gosec // not negative
		{CallId: id, Cancel: true},
		{CallId: id, Begin: &pb.Begin{Method: "/s/m"}},
		{GoAway: &pb.GoAway{Reason: "x"}},
	}
	rnd.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
	b := encode(frames[:1+rnd.IntN(3)]...)
	for range rnd.IntN(4) {
		switch i := rnd.IntN(len(b) + 1); rnd.IntN(4) {
		case 0:
			b = b[:i]
		case 1:
			b = append(b[:i:i], append([]byte{byte(rnd.IntN(256))}, b[i:]...)...)
		case 2:
			if i < len(b) {
				b[i] ^= byte(1 << rnd.IntN(8))
			}
		case 3:
			b = append(b, b[:i]...)
		}
	}
	return b
}

// A client that takes calls and reads nothing costs no more than what may be on
// its way, and is given up when it has been silent for two heartbeats.
func TestAClientThatNeverReadsCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls, size = 1000, 64 << 10
		w := newWorld(t, faultnet.Config{Buffer: 64 << 10})
		h := w.attack(t, w.connection(t), "bad")
		if err := h.SendMsg(hello()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		before := heap()
		failed := make(chan error, calls)
		r := request(size)
		for range calls {
			go func() {
				_, err := w.stub("bad").UnaryCall(t.Context(), r)
				failed <- err
			}()
		}
		synctest.Wait()
		// 100 calls at a time are all that it takes, it says. The rest was
		// refused. Of each it may have the message; what is on its way is bounded.
		if got := len(failed); got != calls-100 {
			t.Errorf("got %d calls that failed at once, want %d", got, calls-100)
		}
		if got, most := heap()-before, int64(100*2*size+8<<20); got > most {
			t.Errorf("got %d bytes in the heap, want no more than %d", got, most)
		}
		start := time.Now()
		for range calls {
			wantCode(t, "a call", <-failed, codes.ResourceExhausted, codes.Unavailable)
		}
		if got := time.Since(start); got != 30*time.Second {
			t.Errorf("got the last error after %v, want it after two heartbeats, 30s", got)
		}
	})
}

// Streams on which nobody says hello cost little, and end when they must have
// said it.
func TestAFloodOfStreamsWithoutAHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const streams = 1000
		w := newWorld(t, faultnet.Config{})
		cc := w.connection(t)
		w.attack(t, cc, "bad")
		synctest.Wait()
		before := heap()
		var last *hostile
		for i := range streams {
			last = w.attack(t, cc, fmt.Sprintf("bad-%d", i))
		}
		synctest.Wait()
		if got := (heap() - before) / streams; got > 40<<10 {
			t.Errorf("got %d bytes in the heap for each, at both ends, want no more than 40 KiB", got)
		}
		start := time.Now()
		wantCode(t, "a stream", last.end(), codes.DeadlineExceeded)
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("got an end after %v, want it after 10s", got)
		}
		if names := len(sessionsOf(w, "bad")); names != 0 {
			t.Errorf("got %d sessions, want none", names)
		}
	})
}

// Bytes that are not HTTP/2, on the port of the gRPC server.
func TestGarbageOnThePort(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	rnd := rand.New(rand.NewPCG(5, 5)) //nolint:gosec // a test
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(rnd.IntN(256))
	}
	for why, garbage := range map[string]string{
		"nothing":                   "",
		"noise":                     string(noise),
		"a request of HTTP/1":       "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"a hello of TLS":            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + string(noise[:500]),
		"a preface and noise":       preface + string(noise),
		"half a preface":            preface[:10],
		"a frame of 16 MiB":         preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\xff\xff\xff\x00\x00\x00\x00\x00\x01",
		"data of no stream":         preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x05\x00\x00\x00\x00\x00\x01abcde",
		"headers that are no HPACK": preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x05\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff\xff",
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, faultnet.Config{})
				goroutines := w.settle(t)
				for range 10 {
					conn, err := w.net.Dial(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					conn.Write([]byte(garbage)) //nolint:errcheck // it may have been cut off
					synctest.Wait()
					conn.Close() //nolint:errcheck // nothing to do about it
				}
				synctest.Wait()
				if _, err := w.stub("good").UnaryCall(t.Context(), request(1000)); err != nil {
					t.Errorf("the other client: got %v, want an answer", err)
				}
				synctest.Wait()
				if got := runtime.NumGoroutine(); got > goroutines+spare {
					t.Errorf("got %d goroutines, want the %d before", got, goroutines)
				}
			})
		})
	}
}

// evil is a server that plays a hostile one.
type evil struct{ play func(*hostile) error }

// A hostile server cannot crash a client, and makes it stop or come back later.
func TestAHostileServerHarmsNoClient(t *testing.T) {
	welcome := encode(&pb.Frame{Hello: &pb.Hello{Version: 1, SessionId: "x", CallWindow: 64 << 10, MaxMetadata: 1000}})
	for why, batches := range map[string][][]byte{
		"random bytes for a hello":   {{0xff, 0x01}},
		"a hello without an id":      {encode(&pb.Frame{Hello: &pb.Hello{Version: 1, CallWindow: 64 << 10}})},
		"a call before the hello":    {encode(&pb.Frame{CallId: 1, Begin: &pb.Begin{Method: "/s/m"}})},
		"garbage after it":           {welcome, {0x0a, 0x7f}},
		"two hellos":                 {welcome, welcome},
		"calls with even ids":        {welcome, encode(&pb.Frame{CallId: 2, Begin: &pb.Begin{Method: "/s/m"}})},
		"the same call twice":        {welcome, encode(&pb.Frame{CallId: 1, Begin: &pb.Begin{Method: "/s/m"}}, &pb.Frame{CallId: 1, Begin: &pb.Begin{Method: "/s/m"}})},
		"a window that is exceeded":  {welcome, encode(&pb.Frame{CallId: 1, Begin: &pb.Begin{Method: "/grpc.testing.TestService/FullDuplexCall"}}, &pb.Frame{CallId: 1, Message: make([]byte, 60<<10)}, &pb.Frame{CallId: 1, Message: make([]byte, 60<<10)})},
		"a piece that is too large":  {welcome, encode(&pb.Frame{CallId: 1, Begin: &pb.Begin{Method: "/grpc.testing.TestService/FullDuplexCall"}, Message: make([]byte, 100<<10)})},
		"an end of its own call":     {welcome, encode(&pb.Frame{CallId: 1, Begin: &pb.Begin{Method: "/grpc.testing.TestService/FullDuplexCall"}}, &pb.Frame{CallId: 1, End: &pb.End{}})},
		"a flood of pings":           {welcome, encode(slicesOf(&pb.Frame{Ping: 3}, 50)...)},
		"a flood of calls":           {welcome, encode(begins(3000)...), {0x0a, 0x7f}},
		"a method of bytes":          {welcome, encode(&pb.Frame{CallId: 1, Begin: &pb.Begin{Method: "\x00"}}), {0x0a, 0x7f}},
		"metadata of gRPC's own":     {welcome, encode(&pb.Frame{CallId: 1, Begin: &pb.Begin{Method: "/s/m", Metadata: &pb.Metadata{Pairs: []*pb.Pair{{Key: ":path", Value: []byte("x")}, {Key: "", Value: []byte("\n")}}}}}), {0x0a, 0x7f}},
		"a deadline beyond all time": {welcome, encode(&pb.Frame{CallId: 1, Begin: &pb.Begin{Method: "/s/m", TimeoutUs: proto.Uint64(1<<64 - 1)}}), {0x0a, 0x7f}},
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := true
				e := &evil{play: func(h *hostile) error {
					if !first {
						return status.Error(codes.Unauthenticated, "enough")
					}
					first = false
					var b []byte
					if err := h.RecvMsg(&b); err != nil {
						return err
					}
					for _, b := range batches {
						if err := h.SendMsg(b); err != nil {
							return err
						}
					}
					return h.end()
				}}
				n := faultnet.New(faultnet.Config{})
				g := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.WaitForHandlers(true))
				g.RegisterService(&grpc.ServiceDesc{ServiceName: "pushtunnel.v1.PushTunnel", Streams: []grpc.StreamDesc{{
					StreamName: "Connect", ServerStreams: true, ClientStreams: true,
					Handler: func(_ any, s grpc.ServerStream) error { return e.play(&hostile{s}) },
				}}}, nil)
				listener := n.Listener()
				served := make(chan error, 1)
				go func() { served <- g.Serve(listener) }()
				w := &world{Server: server.New(), net: n}
				var retries []error
				// The handler takes no message: one that did would be done before what
				// the server sends next, or grant it a new window.
				waits := &service{stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
					<-s.Context().Done()
					return s.Context().Err()
				}}
				m := w.start(t, w.connection(t), "c1", waits, client.WithHooks(client.Hooks{
					Retry: func(err error, _ time.Duration) { retries = append(retries, err) },
				}))
				// It comes back once, and is told to stop then.
				<-m.stopped
				if len(retries) != 1 {
					t.Fatalf("got %d retries, want 1", len(retries))
				}
				t.Logf("the first session ended with %v", retries[0])
				g.Stop()
				<-served
			})
		})
	}
}

func slicesOf(f *pb.Frame, n int) []*pb.Frame {
	frames := make([]*pb.Frame, n)
	for i := range frames {
		frames[i] = f
	}
	return frames
}

// begins are so many calls that nobody has asked for, of a method that waits.
func begins(n int) []*pb.Frame {
	frames := make([]*pb.Frame, n)
	for i := range frames {
		frames[i] = &pb.Frame{CallId: uint64(2*i + 1), Begin: &pb.Begin{Method: "/grpc.testing.TestService/FullDuplexCall"}} //nolint:gosec // not negative
	}
	return frames
}
