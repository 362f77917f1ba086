package daemon

import (
	"fmt"

	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/native"
)

// pushes returns the services that are called at native clients, as the native
// protocol wants them.
func (s *Settings) pushes() ([]*grpc.ServiceDesc, error) {
	if !s.Given() {
		return nil, nil
	}
	known, err := s.Read()
	if err == nil {
		err = known.Link()
	}
	if err != nil {
		return nil, fmt.Errorf("pushtunnel: services of native clients: %w", err)
	}
	var all []*grpc.ServiceDesc
	for _, d := range known.Services() {
		desc := &grpc.ServiceDesc{ServiceName: string(d.FullName()), Metadata: d.ParentFile().Path()}
		for i := range d.Methods().Len() {
			if m := d.Methods().Get(i); !m.IsStreamingClient() && !m.IsStreamingServer() {
				desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: string(m.Name())})
			}
		}
		all = append(all, desc)
	}
	return all, native.Check(all...)
}
