package native_test

import (
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// A program can choose both ends by a name from its configuration.
func TestEndsByName(t *testing.T) {
	tunnel.RegisterProtocol(native.Protocol(native.WithName("by-name"), native.WithPushes(&pb.UserPushApi_ServiceDesc)))
	tunnel.RegisterDialer("by-name", func(target string) (tunnel.Dialer, error) { return native.Dialer(target), nil })
	p, ok := tunnel.ProtocolByName("by-name")
	if !ok {
		t.Fatal("there is no such protocol")
	}
	w := &world{Server: server.New()}
	addr := w.listen(t, p)
	dialer, ok := tunnel.DialerByName("by-name")
	if !ok {
		t.Fatal("there is no such dialer")
	}
	d, err := dialer(addr)
	if err != nil {
		t.Fatal(err)
	}
	dial(t, d.(*native.Endpoint), "c1", nil)
	if got, err := w.push(within(t), "c1", "x", "y"); err != nil || got != "c1 x y" {
		t.Errorf("%q, %v", got, err)
	}
	for s := range w.Sessions("c1") {
		if s.Peer().Protocol != "by-name" {
			t.Errorf("it came by %s", s.Peer().Protocol)
		}
	}
}

// register makes the service names.UserPushAPI known, once in a process.
var register = sync.OnceValue(func() error {
	fd := &descriptorpb.FileDescriptorProto{}
	err := prototext.Unmarshal([]byte(`name: "names_test.proto" package: "names" syntax: "proto3"
		options { java_package: "com.baidu.brpc.example.push.PUSH" }
		message_type { name: "In" } message_type { name: "Out" }
		service { name: "UserPushAPI" method { name: "ClientReceive" input_type: ".names.In" output_type: ".names.Out" } }`), fd)
	if err != nil {
		return err
	}
	f, err := protodesc.NewFile(fd, protoregistry.GlobalFiles)
	if err != nil {
		return err
	}
	return protoregistry.GlobalFiles.RegisterFile(f)
})

// Java finds methods without looking at case, so two that differ in nothing else
// cannot both be called. That is told when the second is registered.
func TestNamesThatJavaTakesForOne(t *testing.T) {
	if err := register(); err != nil {
		t.Fatal(err)
	}
	other := &grpc.ServiceDesc{ServiceName: "names.UserPushAPI"}
	if err := native.Check(other); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, "are both com.baidu.brpc.example.push.PUSH.UserPushAPI.clientReceive in Java") {
			t.Errorf("it panics with %q", text)
		}
	}()
	native.Protocol(native.WithPushes(&pb.UserPushApi_ServiceDesc, other))
	t.Error("both are taken")
}
