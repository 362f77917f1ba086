package device

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"

	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/schema"
)

// Demo is what a device serves that is told nothing: the displays of the quick start.
func Demo() (*schema.Schema, Answerer, error) {
	s, err := schema.FromFile(pb.File_notifier_proto)
	if err != nil {
		return nil, nil, err
	}
	t, err := ParseTemplates([]string{
		`Notify={"display": {{json .Name}}}`,
		`Install={"percent": 25} {"percent": 50} {"percent": 75} {"percent": 100}`,
	})
	return s, t, err
}

// Register registers health, and reflection of the device's services.
func (d *Device) Register(r grpc.ServiceRegistrar) {
	healthpb.RegisterHealthServer(r, health.NewServer())
	opts := reflection.ServerOptions{Services: d, DescriptorResolver: d.Schema}
	reflectionv1.RegisterServerReflectionServer(r, reflection.NewServerV1(opts))
	reflectionv1alpha.RegisterServerReflectionServer(r, reflection.NewServer(opts)) // older tools ask for it
}

// GetServiceInfo returns what reflection lists.
func (d *Device) GetServiceInfo() map[string]grpc.ServiceInfo {
	info := map[string]grpc.ServiceInfo{healthpb.Health_ServiceDesc.ServiceName: {Metadata: healthpb.Health_ServiceDesc.Metadata}}
	for _, s := range d.Schema.Services() {
		info[string(s.FullName())] = grpc.ServiceInfo{Metadata: s.ParentFile().Path()}
	}
	return info
}
