package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
)

// overServices runs f over both ways to the services of gRPC's that register
// registers, and compares what it notes.
func overServices(t *testing.T, register func(reflection.GRPCServer), f func(ctx context.Context, tr *transcript, cc grpc.ClientConnInterface)) {
	t.Helper()
	var seen []*transcript
	for _, w := range allWays {
		tr := &transcript{}
		synctest.Test(t, func(t *testing.T) {
			cc := w.connect(t, setup{}, func(r grpc.ServiceRegistrar) { register(r.(reflection.GRPCServer)) })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f(ctx, tr, cc)
		})
		if len(tr.Caller) == 0 {
			t.Errorf("%s: got nothing, want something to compare", w.name)
		}
		seen = append(seen, tr)
	}
	if diff := diffTranscripts(seen[0], seen[1]); diff != "" {
		t.Errorf("got a service through the tunnel that differs, want it as over plain gRPC (-plain +tunnel):\n%s", diff)
	}
}

func TestReflection(t *testing.T) {
	register := func(s reflection.GRPCServer) {
		registerInterop(s)
		reflection.Register(s)
	}
	requests := []*reflectionpb.ServerReflectionRequest{
		{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}},
		{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "grpc.testing.TestService"}},
		{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "grpc.testing.TestService.UnaryCall"}},
		{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "no.such.Symbol"}},
		{MessageRequest: &reflectionpb.ServerReflectionRequest_FileByFilename{FileByFilename: "grpc/testing/test.proto"}},
		{MessageRequest: &reflectionpb.ServerReflectionRequest_AllExtensionNumbersOfType{AllExtensionNumbersOfType: "grpc.testing.Empty"}},
	}
	overServices(t, register, func(ctx context.Context, tr *transcript, cc grpc.ClientConnInterface) {
		s, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(ctx)
		if err != nil {
			t.Fatalf("opening a reflection stream: got %v, want no error", err)
		}
		for _, r := range requests {
			if err := s.Send(r); err != nil {
				t.Fatalf("asking for %v: got %v, want no error", r, err)
			}
			answer, err := s.Recv()
			tr.caller("answer", answer)
			tr.caller("status", err)
		}
		tr.caller("close send", s.CloseSend())
		_, err = s.Recv()
		tr.caller("end", err)
	})
}

func TestHealth(t *testing.T) {
	var server *health.Server
	register := func(s reflection.GRPCServer) {
		server = health.NewServer()
		server.SetServingStatus("busy", healthpb.HealthCheckResponse_NOT_SERVING)
		healthpb.RegisterHealthServer(s, server)
	}
	overServices(t, register, func(ctx context.Context, tr *transcript, cc grpc.ClientConnInterface) {
		c := healthpb.NewHealthClient(cc)
		for _, service := range []string{"", "busy", "unknown"} {
			answer, err := c.Check(ctx, &healthpb.HealthCheckRequest{Service: service})
			tr.caller("check "+service, answer)
			tr.caller("status", err)
		}
		list, err := c.List(ctx, &healthpb.HealthListRequest{})
		tr.caller("list", list)
		tr.caller("status", err)
		watch, err := c.Watch(ctx, &healthpb.HealthCheckRequest{Service: "new"})
		tr.caller("watch", err)
		for _, status := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING} {
			update, err := watch.Recv()
			tr.caller("update", update)
			tr.caller("status", err)
			server.SetServingStatus("new", status)
		}
		server.Shutdown()
		update, err := watch.Recv()
		tr.caller("last update", update)
		tr.caller("status", err)
	})
}

// TestServiceInfo: what is registered is known as a grpc.Server knows it.
func TestServiceInfo(t *testing.T) {
	register := func(s reflection.GRPCServer) {
		registerInterop(s)
		testgrpc.RegisterUnimplementedServiceServer(s, testgrpc.UnimplementedUnimplementedServiceServer{})
		reflection.Register(s)
	}
	var info map[string]grpc.ServiceInfo
	overServices(t, func(s reflection.GRPCServer) {
		register(s)
		all := s.GetServiceInfo()
		for name, i := range all {
			slices.SortFunc(i.Methods, func(a, b grpc.MethodInfo) int { return strings.Compare(a.Name, b.Name) })
			all[name] = i
		}
		info = all
	}, func(_ context.Context, tr *transcript, _ grpc.ClientConnInterface) {
		tr.caller("service info", info)
	})
}
