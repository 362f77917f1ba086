package admin_test

import (
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pushtunnel/pushtunnel/admin"
)

// A program that knows nothing of the service finds it by reflection, and calls it
// with JSON, as command-line tools do.
func TestTheServiceIsFoundByReflection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorldWith(t, func(w *world) {
			admin.Register(w.grpc, w.push, everybody)
			reflection.Register(w.grpc)
		})
		w.named("a")
		w.named("b")
		files := reflected(t, w.cc, "pushtunnel.admin.v1.Admin")
		found, err := files.FindDescriptorByName("pushtunnel.admin.v1.Admin")
		if err != nil {
			t.Fatal(err)
		}
		service := found.(protoreflect.ServiceDescriptor)

		method := service.Methods().ByName("ListSessions")
		in, out := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
		if err := protojson.Unmarshal([]byte(`{"filter": {"namespace": "", "name": "b"}, "pageSize": 10}`), in); err != nil {
			t.Fatal(err)
		}
		if err := w.cc.Invoke(t.Context(), "/pushtunnel.admin.v1.Admin/ListSessions", in, out); err != nil {
			t.Fatal(err)
		}
		sessions := out.Get(method.Output().Fields().ByName("sessions")).List()
		if sessions.Len() != 1 {
			t.Fatalf("got %v, want one session", out)
		}
		session := sessions.Get(0).Message()
		if got := session.Get(session.Descriptor().Fields().ByName("name")).String(); got != "b" {
			t.Errorf("got the session %q, want b", got)
		}
	})
}

// reflected asks for the files that describe a symbol.
func reflected(t *testing.T, cc grpc.ClientConnInterface, symbol string) *protoregistry.Files {
	t.Helper()
	stream, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol},
	})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	for _, b := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(b, file); err != nil {
			t.Fatal(err)
		}
		set.File = append(set.File, file)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatalf("%v; the answer was %v", err, answer)
	}
	return files
}
