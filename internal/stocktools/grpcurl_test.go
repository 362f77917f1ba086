package stocktools

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/fullstorydev/grpcurl"
	"github.com/jhump/protoreflect/grpcreflect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/server"
)

// display is what the client serves.
type display struct{ pb.UnimplementedNotifierServer }

func (display) Notify(_ context.Context, r *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	return &pb.NotifyResponse{Display: "shows " + r.GetText()}, nil
}

// inMemory returns a connection to a gateway to which a client "c1" is connected. The
// server has reflection, too.
func inMemory(t *testing.T) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	push := server.New()
	gw := gateway.New(push, func(context.Context, gateway.Request) error { return nil })
	g := grpc.NewServer(gw.ServerOptions()...)
	push.Register(g)
	reflection.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	t.Cleanup(func() {
		push.Close()
		g.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("the gRPC server: %v", err)
		}
	})
	cc, err := grpc.NewClient("passthrough:///gateway", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	connect(t, cc, func(c *client.Client) {
		pb.RegisterNotifierServer(c, display{})
		reflection.Register(c)
	})
	return cc
}

const header = "pushtunnel-client: c1"

// TestGrpcurl does what
//
//	grpcurl -H 'pushtunnel-client: c1' -plaintext ADDRESS list
//	grpcurl -H 'pushtunnel-client: c1' -plaintext -d '{"text": "hello"}' ADDRESS SERVICE/Notify
//
// do.
func TestGrpcurl(t *testing.T) {
	cc := inMemory(t)
	service := pb.Notifier_ServiceDesc.ServiceName
	for _, test := range []struct {
		headers []string
		has     bool
	}{{[]string{header}, true}, {nil, false}} {
		ctx := metadata.NewOutgoingContext(t.Context(), grpcurl.MetadataFromHeaders(test.headers))
		reflected := grpcreflect.NewClientAuto(ctx, cc)
		services, err := grpcurl.ListServices(grpcurl.DescriptorSourceFromServer(ctx, reflected))
		if err != nil || slices.Contains(services, service) != test.has {
			t.Errorf("with the headers %q: got the services %q, %v; the client's is there: want %v", test.headers, services, err, test.has)
		}
		reflected.Reset()
	}

	ctx := metadata.NewOutgoingContext(t.Context(), grpcurl.MetadataFromHeaders([]string{header}))
	reflected := grpcreflect.NewClientAuto(ctx, cc)
	defer reflected.Reset()
	source := grpcurl.DescriptorSourceFromServer(ctx, reflected)
	parser, formatter, err := grpcurl.RequestParserAndFormatter(grpcurl.FormatJSON, source, strings.NewReader(`{"text": "hello"}`), grpcurl.FormatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	events := &grpcurl.DefaultEventHandler{Out: &out, Formatter: formatter}
	if err := grpcurl.InvokeRPC(t.Context(), source, cc, service+"/Notify", []string{header}, events, parser.Next); err != nil {
		t.Fatal(err)
	}
	if events.Status.Code() != codes.OK || !strings.Contains(out.String(), `"shows hello"`) {
		t.Errorf("got %v and %s, want the display's answer", events.Status, out.String())
	}
}
