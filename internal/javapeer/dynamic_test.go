package javapeer

import (
	"context"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/native/dynamic"
	"github.com/pushtunnel/pushtunnel/native/java"
)

// Each value goes from a backend through a gateway to a Java client, and comes back.
func TestDynamicJavaClient(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		g := startGoServer(t)
		gw := gateway.New(g.Server, func(context.Context, gateway.Request) error { return nil })
		s := grpc.NewServer(gw.ServerOptions()...)
		dynamic.Register(gw.Services(s), gw.Conn())
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(l) }()
		t.Cleanup(func() {
			s.Stop()
			<-ended
		})
		backend, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { backend.Close() })
		startClient(t, version, Client{Addr: g.addr, Name: "c1"})
		await(t, g.came, "client")
		ctx := metadata.AppendToOutgoingContext(within(t, long), gateway.ClientKey, "c1")
		invoke := func(method string, args ...any) (any, error) {
			return dynamic.Invoke(ctx, backend, "interop.PushApi", method, args)
		}

		same := cmp.Options{cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 }), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(java.Array{}, "Len")}
		for _, v := range values {
			got, err := invoke("pushObject", v)
			if diff := cmp.Diff(v, got, same); err != nil || diff != "" {
				t.Errorf("%#v: %v, -want +got\n%s", v, err, diff)
			}
		}
		if got, err := invoke("pushHi", "you"); err != nil || got != "hi you" {
			t.Errorf("%v, %v", got, err)
		}
		if got, err := invoke("pushAdd", int32(-1), int64(1<<40)); err != nil || got != int64(1<<40-1) {
			t.Errorf("%v, %v", got, err)
		}
		if got, err := invoke("PUSHADD", int32(1), int32(2)); err != nil || got != int64(3) {
			t.Errorf("names are not compared without case: %v, %v", got, err)
		}
		early, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := dynamic.Invoke(early, backend, "interop.PushApi", "pushAdd", []any{"x", "y"}); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("got %v, want no answer to arguments that do not fit", err)
		}
	})
}
