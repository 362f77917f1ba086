// Package owncodec_test puts a codec of its own in the place of gRPC's, as
// programs do that generate faster ones. It is a package of its own because that
// holds for the whole process.
package owncodec_test

import (
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/mem"

	"github.com/pushtunnel/pushtunnel/tunneltest"
)

var marshals, unmarshals atomic.Int64

// counting is gRPC's codec, counted.
type counting struct{ encoding.CodecV2 }

func (c counting) Marshal(v any) (mem.BufferSlice, error) {
	marshals.Add(1)
	return c.CodecV2.Marshal(v)
}

func (c counting) Unmarshal(data mem.BufferSlice, v any) error {
	unmarshals.Add(1)
	return c.CodecV2.Unmarshal(data, v)
}

func init() { encoding.RegisterCodecV2(counting{encoding.GetCodecV2(proto.Name)}) }

func TestAProgramsOwnProtoCodecIsUsed(t *testing.T) {
	push := tunneltest.NewServer(t)
	push.Connect(t, "c1", func(r grpc.ServiceRegistrar) {
		testgrpc.RegisterTestServiceServer(r, interop.NewTestServer())
	})
	_, err := testgrpc.NewTestServiceClient(push.Client("c1")).EmptyCall(t.Context(), &testgrpc.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	if m, u := marshals.Load(), unmarshals.Load(); m != 2 || u != 2 {
		t.Errorf("got %d messages encoded and %d decoded, want 2 and 2: the request and the answer", m, u)
	}
}
