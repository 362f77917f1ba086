package daemon

import (
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
)

// nativeProtocol is what carries the sessions of native clients.
const nativeProtocol = "native"

var duplicates = map[string]server.Duplicates{
	"allow": server.AllowDuplicates, "replace": server.ReplaceDuplicates, "refuse": server.RefuseDuplicates,
}

// pushOptions are the settings as options of the server with the clients.
func (s *Settings) pushOptions(logger *slog.Logger) (server.Option, error) {
	pick, err := s.picker()
	if err != nil {
		return nil, err
	}
	opts := []server.Option{
		server.WithLogger(logger), server.WithPicker(pick), server.WithDuplicates(duplicates[s.Duplicates]),
		server.WithMaxSessions(s.MaxSessions), server.WithMaxSessionsPerName(s.MaxSessionsPerName),
		server.WithMaxSessionsPerSubject(s.MaxSessionsPerSubject),
		server.WithConnectRate(s.ConnectRate, s.ConnectBurst), server.WithConnectRatePerSubject(s.SubjectConnectRate, s.SubjectConnectBurst),
		server.WithMaxConnections(s.MaxConnections),
		server.WithHandshakeTimeout(s.HandshakeTimeout), server.WithHeartbeat(s.Heartbeat),
		server.WithReconnectAfter(s.ReconnectAfter), server.WithWatchBacklog(s.WatchBacklog),
		server.WithMaxCallsPerSession(s.MaxCallsPerSession),
		server.WithMaxRecvMsgSize(int(s.MaxRecvMsgSize)), server.WithMaxMetadata(int(s.MaxMetadata)),
		server.WithCallWindow(int64(s.CallWindow), int64(s.MaxCallWindow)), server.WithMaxBuffered(int64(s.MaxBuffered)),
		server.WithMaxQueued(int64(s.MaxQueued)), server.WithMaxMemory(int64(s.MaxMemory)),
	}
	if s.Calls.CallRate > 0 {
		opts = append(opts, server.WithCallRate(s.Calls.CallRate, s.Calls.CallBurst))
	}
	return server.WithOptions(opts...), nil
}

// grpcOptions are the settings as options of the gRPC server.
func (s *Settings) grpcOptions() []grpc.ServerOption {
	opts := append(server.RecommendedOptions(), grpc.MaxRecvMsgSize(int(s.MaxRecvMsgSize)), grpc.WaitForHandlers(true),
		grpc.ConnectionTimeout(max(s.HandshakeTimeout, time.Second)))
	if s.MaxConcurrentStreams > 0 {
		opts = append(opts, grpc.MaxConcurrentStreams(s.MaxConcurrentStreams))
	}
	if s.MaxConnectionAge > 0 {
		opts = append(opts, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: s.MaxConnectionAge}))
	}
	return opts
}

// nativeOptions are the settings as options of the native protocol.
func (s *Settings) nativeOptions(logger *slog.Logger, pushes []*grpc.ServiceDesc) []native.Option {
	return []native.Option{
		native.WithPushes(pushes...),
		native.WithName(nativeProtocol), native.WithLogger(logger),
		native.WithMaxBody(int(s.MaxBody)), native.WithMaxAnonymousBody(int(s.MaxAnonymousBody)),
		native.WithFrameTimeout(s.FrameTimeout), native.WithIdleTimeout(s.IdleTimeout),
		native.WithMaxConnsPerClient(s.MaxConnsPerClient), native.WithCallRate(s.Native.CallRate, s.Native.CallBurst),
	}
}
