package tunnel

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"

	"google.golang.org/grpc"
)

// Services are the gRPC services that one end of a session serves. It is a
// grpc.ServiceRegistrar, and what stock reflection and health need of a
// grpc.Server besides. Register before a session uses it. The zero value serves
// nothing.
type Services struct {
	// mu guards what follows until freeze; after that nothing writes.
	mu       sync.RWMutex
	frozen   bool
	services map[string]grpc.ServiceInfo
	methods  map[string]*method
	unknown  grpc.StreamHandler // nil: calls of other methods are refused
}

// method is one method that can be called.
type method struct {
	name   string // "/package.Service/Method"
	impl   any
	unary  func(srv any, ctx context.Context, dec func(any) error, i grpc.UnaryServerInterceptor) (any, error)
	stream *grpc.StreamDesc
}

// unaryDesc is the shape of a unary call.
var unaryDesc = &grpc.StreamDesc{}

// RegisterService registers a service and its implementation, as
// grpc.Server.RegisterService does. Like that it panics on misuse at start-up:
// a service registered twice or too late, or an implementation that lacks a
// method.
func (s *Services) RegisterService(desc *grpc.ServiceDesc, impl any) {
	if impl != nil {
		want := reflect.TypeOf(desc.HandlerType).Elem()
		if got := reflect.TypeOf(impl); !got.Implements(want) {
			panic(fmt.Sprintf("pushtunnel: the handler of %s is a %v, which does not implement %v", //nolint:forbidigo // misuse at start-up
				desc.ServiceName, got, want))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen {
		panic(fmt.Sprintf("pushtunnel: service %s is registered after serving has begun", desc.ServiceName)) //nolint:forbidigo // misuse at start-up
	}
	if _, ok := s.services[desc.ServiceName]; ok {
		panic(fmt.Sprintf("pushtunnel: service %s is registered twice", desc.ServiceName)) //nolint:forbidigo // misuse at start-up
	}
	if s.services == nil {
		s.services = make(map[string]grpc.ServiceInfo)
		s.methods = make(map[string]*method)
	}
	info := grpc.ServiceInfo{Metadata: desc.Metadata}
	for _, m := range desc.Methods {
		name := "/" + desc.ServiceName + "/" + m.MethodName
		s.methods[name] = &method{name: name, impl: impl, unary: m.Handler, stream: unaryDesc}
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: m.MethodName})
	}
	for i := range desc.Streams {
		d := &desc.Streams[i]
		name := "/" + desc.ServiceName + "/" + d.StreamName
		s.methods[name] = &method{name: name, impl: impl, stream: d}
		info.Methods = append(info.Methods, grpc.MethodInfo{
			Name: d.StreamName, IsClientStream: d.ClientStreams, IsServerStream: d.ServerStreams,
		})
	}
	s.services[desc.ServiceName] = info
}

// HandleUnknown sets the handler of calls whose method is not registered, as
// grpc.UnknownServiceHandler does: it gets all of them as streams, unary ones too,
// and grpc.MethodFromServerStream tells the method. It panics after serving has
// begun. The default is none: such calls are answered with UNIMPLEMENTED. Calls of
// protocols without streams, as the native one, do not come to it.
func (s *Services) HandleUnknown(h grpc.StreamHandler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen {
		panic("pushtunnel: a handler of unknown methods is set after serving has begun") //nolint:forbidigo // misuse at start-up
	}
	s.unknown = h
}

// GetServiceInfo returns what is registered, by service name.
func (s *Services) GetServiceInfo() map[string]grpc.ServiceInfo {
	s.mu.RLock()
	defer s.mu.RUnlock()
	info := make(map[string]grpc.ServiceInfo, len(s.services))
	maps.Copy(info, s.services)
	return info
}

// freeze lets lookup go without a lock.
func (s *Services) freeze() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = true
}

// lookup returns the method of a full name. If there is none it says so in the
// words of a grpc.Server.
func (s *Services) lookup(name []byte) (m *method, problem string) {
	if s == nil {
		return nil, "this end of the tunnel serves no calls"
	}
	if m, ok := s.methods[string(name)]; ok {
		return m, ""
	}
	path, ok := strings.CutPrefix(string(name), "/")
	i := strings.LastIndexByte(path, '/')
	if !ok || i < 0 {
		return nil, fmt.Sprintf("malformed method name: %q", name)
	}
	if s.unknown != nil {
		desc := &grpc.StreamDesc{StreamName: "unknown_service_handler", Handler: s.unknown, ClientStreams: true, ServerStreams: true}
		return &method{name: string(name), stream: desc}, ""
	}
	service, method := path[:i], path[i+1:]
	if _, ok := s.services[service]; ok {
		return nil, fmt.Sprintf("unknown method %v for service %v", method, service)
	}
	return nil, fmt.Sprintf("unknown service %v", service)
}
