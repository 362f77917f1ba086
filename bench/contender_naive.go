package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pushtunnel/pushtunnel/bench/benchpb"
)

// naiveTunnel is the tunnel that people write in an afternoon: one stream a
// client, one generated message a call and direction, a mutex around Send, a
// map of pending calls, a goroutine for each call that is handled. It has no
// flow control, cancellation, metadata or streams of its own.
var naiveTunnel = contender{
	name: "naive tunnel",
	listen: func(l link) (*end, error) {
		gs, err := newGRPCServer(l)
		if err != nil {
			return nil, err
		}
		t := &naiveServer{sessions: make(map[string]*naiveSession)}
		benchpb.RegisterNaiveTunnelServer(gs, t)
		e, err := serveGRPC(gs)
		if err != nil {
			return nil, err
		}
		e.connected = t.count
		e.stub = func(name string) benchpb.EchoClient { return benchpb.NewEchoClient(naiveConn{t, name}) }
		e.call = callStub(e.stub)
		return e, nil
	},
	connect: func(l link, addr string, names []string) (*end, error) {
		conns, err := dialGRPC(l, addr, len(names))
		if err != nil {
			return nil, err
		}
		var serving sync.WaitGroup
		e := &end{close: func() error {
			err := closeAll(conns)
			serving.Wait()
			return err
		}}
		err = each(len(names), dialsAtOnce, func(i int) error {
			ctx := metadata.AppendToOutgoingContext(context.Background(), "clientname", names[i])
			stream, err := benchpb.NewNaiveTunnelClient(conns[i]).Connect(ctx)
			if err != nil {
				return err
			}
			serving.Go(func() { serveNaive(stream) })
			return nil
		})
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		return e, nil
	},
}

// serveNaive answers what comes on stream, until it ends.
func serveNaive(stream benchpb.NaiveTunnel_ConnectClient) {
	methods := make(map[string]grpc.MethodDesc)
	for _, m := range benchpb.Echo_ServiceDesc.Methods {
		methods["/"+benchpb.Echo_ServiceDesc.ServiceName+"/"+m.MethodName] = m
	}
	var mu sync.Mutex // held across Send
	for {
		request, err := stream.Recv()
		if err != nil {
			return
		}
		go func() {
			answer := &benchpb.NaiveFrame{Id: request.GetId()}
			payload, err := handleNaive(stream.Context(), methods, request)
			if err != nil {
				answer.Error = err.Error()
			}
			answer.Payload = payload
			mu.Lock()
			defer mu.Unlock()
			// An error here ends the stream, which Recv will tell.
			_ = stream.Send(answer)
		}()
	}
}

// handleNaive calls the handler that request asks for.
func handleNaive(ctx context.Context, methods map[string]grpc.MethodDesc, request *benchpb.NaiveFrame) ([]byte, error) {
	m, ok := methods[request.GetMethod()]
	if !ok {
		return nil, fmt.Errorf("no method %q", request.GetMethod())
	}
	decode := func(v any) error { return proto.Unmarshal(request.GetPayload(), v.(proto.Message)) }
	reply, err := m.Handler(echoServer{}, ctx, decode, nil)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(reply.(proto.Message))
}

// naiveServer is the server's end of the tunnel.
type naiveServer struct {
	benchpb.UnimplementedNaiveTunnelServer

	mu       sync.RWMutex // guards sessions
	sessions map[string]*naiveSession
}

// naiveSession is one connected client.
type naiveSession struct {
	send   sync.Mutex // held across Send
	stream benchpb.NaiveTunnel_ConnectServer

	mu      sync.Mutex // guards what follows
	lastID  uint64
	pending map[uint64]chan *benchpb.NaiveFrame
}

func (t *naiveServer) count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.sessions)
}

func (t *naiveServer) session(name string) *naiveSession {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.sessions[name]
}

// Connect serves one client until its stream ends.
func (t *naiveServer) Connect(stream benchpb.NaiveTunnel_ConnectServer) error {
	names := metadata.ValueFromIncomingContext(stream.Context(), "clientname")
	if len(names) != 1 {
		return status.Error(codes.InvalidArgument, "want one clientname")
	}
	s := &naiveSession{stream: stream, pending: make(map[uint64]chan *benchpb.NaiveFrame)}
	t.mu.Lock()
	t.sessions[names[0]] = s
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.sessions, names[0])
	}()
	for {
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		s.mu.Lock()
		waiting := s.pending[answer.GetId()]
		delete(s.pending, answer.GetId())
		s.mu.Unlock()
		if waiting != nil {
			waiting <- answer
		}
	}
}

// naiveConn calls the client of one name.
type naiveConn struct {
	server *naiveServer
	name   string
}

// Invoke makes a unary call. It ignores all options.
func (c naiveConn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	s := c.server.session(c.name)
	if s == nil {
		return status.Errorf(codes.Unavailable, "no client %q", c.name)
	}
	payload, err := proto.Marshal(args.(proto.Message))
	if err != nil {
		return err
	}
	answer, err := s.call(ctx, method, payload)
	if err != nil {
		return err
	}
	return proto.Unmarshal(answer, reply.(proto.Message))
}

// NewStream refuses: the naive tunnel has no streams.
func (naiveConn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "the naive tunnel has no streams")
}

func (s *naiveSession) call(ctx context.Context, method string, payload []byte) ([]byte, error) {
	waiting := make(chan *benchpb.NaiveFrame, 1)
	s.mu.Lock()
	s.lastID++
	id := s.lastID
	s.pending[id] = waiting
	s.mu.Unlock()

	s.send.Lock()
	err := s.stream.Send(&benchpb.NaiveFrame{Id: id, Method: method, Payload: payload})
	s.send.Unlock()
	if err == nil {
		select {
		case answer := <-waiting:
			if answer.GetError() != "" {
				return nil, status.Error(codes.Unknown, answer.GetError())
			}
			return answer.GetPayload(), nil
		case <-s.stream.Context().Done():
			err = status.Error(codes.Unavailable, "the client has gone")
		case <-ctx.Done():
			err = status.FromContextError(ctx.Err()).Err()
		}
	}
	s.mu.Lock()
	delete(s.pending, id)
	s.mu.Unlock()
	return nil, err
}
