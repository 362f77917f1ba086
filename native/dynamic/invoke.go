package dynamic

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/dynamic/v1"
)

// Invoke calls a method of a native client by its Java names, through the service
// Dynamic of the server that cc leads to. The metadata of ctx say which client, by the
// keys of the gateway. args and the result are values of package java. The errors are
// statuses: those of the service, and INVALID_ARGUMENT for an argument that has no
// Java form.
func Invoke(ctx context.Context, cc grpc.ClientConnInterface, service, method string, args []any, opts ...grpc.CallOption) (any, error) {
	r := &pb.InvokeRequest{Service: service, Method: method}
	c := newConverter()
	for i, arg := range args {
		v, err := c.toProto(arg)
		if err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "pushtunnel: argument %d: %v", i, err)
		}
		r.Arguments = append(r.Arguments, v)
	}
	answer, err := pb.NewDynamicClient(cc).Invoke(ctx, r, opts...)
	if err != nil {
		return nil, err
	}
	v, err := FromProto(answer.GetResult())
	if err != nil {
		return nil, status.Errorf(codes.Internal, "pushtunnel: the result: %v", err)
	}
	return v, nil
}
