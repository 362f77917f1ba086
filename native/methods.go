package native

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/pushtunnel/pushtunnel/native/internal/mapping"
	"github.com/pushtunnel/pushtunnel/native/java"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Services are gRPC services that programs without gRPC can call. It is a
// grpc.ServiceRegistrar: register with it what you register with your
// grpc.Server. The zero value has none.
type Services struct {
	tunnel.Services
	methods methods
}

// RegisterService registers a service. It panics on misuse, as
// grpc.Server.RegisterService does, and if the service cannot be mapped to Java:
// see Check.
func (s *Services) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.Services.RegisterService(desc, impl)
	if err := s.methods.add(desc); err != nil {
		panic(err.Error()) //nolint:forbidigo // misuse at start-up
	}
}

// Check reports what keeps services from being called by Java peers, or on them.
// The error names each field and the cure. Methods that stream are not called by
// Java peers; a service that has no others is an error.
func Check(services ...*grpc.ServiceDesc) error {
	var all error
	for _, desc := range services {
		_, err := compile(desc)
		all = errors.Join(all, err)
	}
	return all
}

// compile makes the mapping of a service.
func compile(desc *grpc.ServiceDesc) (*mapping.Service, error) {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(desc.ServiceName))
	if err != nil {
		return nil, fmt.Errorf("pushtunnel: service %s cannot be mapped to Java: its .proto file is not linked in: import its generated Go package", desc.ServiceName)
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, fmt.Errorf("pushtunnel: %s is no service", desc.ServiceName)
	}
	s, err := mapping.Compile(sd)
	if err != nil {
		return nil, fmt.Errorf("pushtunnel: service %s cannot be mapped to Java: %w", desc.ServiceName, err)
	}
	if len(s.Methods) == 0 {
		return nil, fmt.Errorf("pushtunnel: service %s cannot be mapped to Java: it has no unary methods", desc.ServiceName)
	}
	return s, nil
}

// method is a method that can be called over the native protocol.
type method struct {
	*mapping.Method
	key   string // its names on the wire, in lower case
	names []byte // its names, as the fields of a body
}

// methods are the methods of some services. It is filled at start-up and never
// changes after that.
type methods struct {
	byPath map[string]*method // "/package.Service/Method"
	byName map[string]*method // "java.package.service.method", in lower case
	exact  map[string]*method // the same as it is written
}

func (ms *methods) add(desc *grpc.ServiceDesc) error {
	s, err := compile(desc)
	if err != nil {
		return err
	}
	if ms.byPath == nil {
		ms.byPath, ms.byName, ms.exact = make(map[string]*method), make(map[string]*method), make(map[string]*method)
	}
	for _, mm := range s.Methods {
		m := &method{Method: mm, key: methodKey(mm.JavaService, mm.JavaMethod)}
		body := java.Body{Service: mm.JavaService, Method: mm.JavaMethod}
		m.names = body.Append(nil)
		if other := ms.byName[m.key]; other != nil && other.FullMethod != m.FullMethod {
			return fmt.Errorf("pushtunnel: %s and %s are both %s.%s in Java, where case does not count: set option (pushtunnel.java.v1.service).name or (pushtunnel.java.v1.method).name",
				other.FullMethod, m.FullMethod, mm.JavaService, mm.JavaMethod)
		}
		ms.byPath[m.FullMethod] = m
		ms.byName[m.key] = m
		ms.exact[mm.JavaService+"."+mm.JavaMethod] = m
	}
	return nil
}

// find returns the method of these names on the wire, whatever their case, as in
// brpc-java (ServiceManager). It returns nil if there is none.
func (ms *methods) find(service, name string) *method {
	if m := ms.exact[service+"."+name]; m != nil {
		return m
	}
	return ms.byName[methodKey(service, name)]
}

func methodKey(service, method string) string { return strings.ToLower(service + "." + method) }

// methodsOf compiles services. It panics if one cannot be mapped: that is misuse
// at start-up.
func methodsOf(services []*grpc.ServiceDesc) *methods {
	ms := &methods{}
	for _, desc := range services {
		if err := ms.add(desc); err != nil {
			panic(err.Error()) //nolint:forbidigo // misuse at start-up
		}
	}
	return ms
}
