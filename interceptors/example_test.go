package interceptors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// What the end that calls has around its pushes, the outermost first.
func ExampleCallers() {
	unary, stream := interceptors.Callers(
		interceptors.Logging(slog.Default()),
		interceptors.Authorize(interceptors.AllowMethods("/examples.notifier.v1.Notifier/")),
		interceptors.IdempotencyKey(),
		interceptors.RetryNotSent(interceptors.Retry{}),
		interceptors.LimitPerClient(interceptors.ClientLimit{InFlight: 100, Rate: 50, Burst: 100}),
	)
	push := server.New(server.WithUnaryInterceptors(unary...), server.WithStreamInterceptors(stream...))
	defer push.Close()
	fmt.Println(len(unary), len(stream))
	// Output: 5 5
}

// What the end that serves has around its handlers. Those of go-grpc-middleware go
// in between.
func ExampleHandlers() {
	unary, stream := interceptors.Handlers(
		interceptors.HandlerLogging(slog.Default()),
		interceptors.Deduplicate(interceptors.Window{}), // for unary pushes only
	)
	var cc *grpc.ClientConn // yours
	c := client.New(cc, "kitchen", client.WithUnaryInterceptors(unary...), client.WithStreamInterceptors(stream...))
	fmt.Println(c.Name(), len(unary), len(stream))
	// Output: kitchen 2 1
}

type userKey struct{}

// A policy of one's own: who asks is what the context says.
func ExampleAuthorize() {
	mayPush := func(ctx context.Context, target *tunnel.Target, _ string) error {
		if user, _ := ctx.Value(userKey{}).(string); user != "owner of "+target.Name {
			return errors.New("only its owner may")
		}
		return nil
	}
	push := server.New(server.WithUnaryInterceptors(interceptors.Authorize(mayPush).Unary))
	defer push.Close()

	ctx := context.WithValue(context.Background(), userKey{}, "owner of garage")
	for _, name := range []string{"kitchen", "garage"} {
		_, err := pb.NewNotifierClient(push.Client(name)).Notify(ctx, &pb.NotifyRequest{})
		fmt.Println(status.Code(err), tunnel.OutcomeOf(err), status.Convert(err).Message())
	}
	// Output:
	// PermissionDenied not sent pushtunnel: /examples.notifier.v1.Notifier/Notify may not be called at client "kitchen": only its owner may
	// Unavailable not sent pushtunnel: client "garage" is not connected
}

// A line for each push, when it has ended.
func ExampleLogging() {
	noTimes := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{}
		}
		return a
	}}
	log := slog.New(slog.NewTextHandler(os.Stdout, noTimes))
	push := server.New(server.WithUnaryInterceptors(interceptors.Logging(log).Unary))
	defer push.Close()

	_, _ = pb.NewNotifierClient(push.Client("garage")).Notify(context.Background(), &pb.NotifyRequest{})
	// Output:
	// level=WARN msg="push ended" client=garage method=/examples.notifier.v1.Notifier/Notify code=Unavailable outcome="not sent" reason="pushtunnel: client \"garage\" is not connected"
}
