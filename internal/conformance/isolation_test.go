package conformance

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// TestBadCallHurtsOnlyItself makes one bad call of each kind beside streams that
// live on the same session, and then looks whether they still do.
func TestBadCallHurtsOnlyItself(t *testing.T) {
	const huge = 5 << 20
	badMD := func(k, v string) func(context.Context, grpc.ClientConnInterface) error {
		return func(ctx context.Context, cc grpc.ClientConnInterface) error {
			ctx = metadata.NewOutgoingContext(ctx, metadata.MD{k: {v}})
			return cc.Invoke(ctx, unaryMethod, text("a"), &message{})
		}
	}
	// asking asks the handler to misbehave.
	asking := func(what string) func(context.Context, grpc.ClientConnInterface) error {
		return func(ctx context.Context, cc grpc.ClientConnInterface) error {
			unary := cc.Invoke(ctx, unaryMethod, text(what), &message{})
			s, err := cc.NewStream(ctx, descs[serverStreamMethod], serverStreamMethod)
			if err != nil {
				return err
			}
			s.SendMsg(text(what))
			s.CloseSend()
			for err == nil {
				err = s.RecvMsg(&message{})
			}
			if status.Code(unary) != status.Code(err) {
				t.Errorf("%s: got %v of a unary call and %v of a stream, want the same", what, unary, err)
			}
			return err
		}
	}
	cases := map[string]struct {
		call func(context.Context, grpc.ClientConnInterface) error
		want codes.Code
	}{
		"a request's bad metadata value": {badMD("key", "\x00"), codes.Internal},
		"a request's bad metadata key":   {badMD("a key", "value"), codes.Internal},
		"a request's huge metadata":      {badMD("key", strings.Repeat("x", huge)), codes.ResourceExhausted},
		"a request's binary metadata":    {badMD("key-bin", "\xff\xfe"), codes.OK},
		"a request that can't be encoded": {func(ctx context.Context, cc grpc.ClientConnInterface) error {
			return cc.Invoke(ctx, unaryMethod, "not a message", &message{})
		}, codes.Internal},
		"a request that can't be decoded": {func(ctx context.Context, cc grpc.ClientConnInterface) error {
			return cc.Invoke(ctx, unaryMethod, text("a"), &message{}, grpc.ForceCodec(garbageCodec{}))
		}, codes.Internal},
		"an answer that can't be decoded": {func(ctx context.Context, cc grpc.ClientConnInterface) error {
			return cc.Invoke(ctx, unaryMethod, text("a"), &message{}, grpc.ForceCodec(brokenCodec{protoCodec{"proto"}}))
		}, codes.Internal},
		"a request that is too large": {func(ctx context.Context, cc grpc.ClientConnInterface) error {
			return cc.Invoke(ctx, unaryMethod, size(huge), &message{})
		}, codes.ResourceExhausted},
		"an answer that can't be encoded": {asking("encode"), codes.Internal},
		"an answer that is too large":     {asking("large"), codes.ResourceExhausted},
		"a huge header":                   {asking("header"), codes.ResourceExhausted},
		"a huge trailer":                  {asking("trailer"), codes.ResourceExhausted},
		"a bad trailer":                   {asking("bad trailer"), codes.Internal},
		"huge details":                    {asking("details"), codes.ResourceExhausted},
		"a huge status message":           {asking("message"), codes.ResourceExhausted},
		"a status message of bytes":       {asking("bytes"), codes.Aborted},
	}
	// misbehave does what it is asked.
	misbehave := func(ctx context.Context, what string, reply func(any) error) error {
		big := metadata.Pairs("key", strings.Repeat("x", huge))
		switch what {
		case "encode":
			return reply("not a message")
		case "large":
			return reply(size(huge))
		case "header":
			return grpc.SendHeader(ctx, big)
		case "trailer":
			grpc.SetTrailer(ctx, big)
		case "bad trailer":
			grpc.SetTrailer(ctx, metadata.Pairs("key", "\x00"))
		case "details":
			return detailed("details", &errdetails.DebugInfo{Detail: strings.Repeat("x", huge)})
		case "message":
			return status.Error(codes.Aborted, strings.Repeat("x", huge))
		case "bytes":
			return status.Error(codes.Aborted, "\xff\xfe")
		}
		return reply(text("fine"))
	}
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		push.Connect(t, target, func(r grpc.ServiceRegistrar) {
			handlers{
				rawUnary: func(ctx context.Context, read func(any) error) (out any, err error) {
					in := &message{}
					if err := read(in); err != nil {
						return nil, err
					}
					err = misbehave(ctx, string(in.GetValue()), func(m any) error {
						out = m
						return nil
					})
					return out, err
				},
				stream: func(s *served) error {
					if method, _ := grpc.MethodFromServerStream(s); method == bidiMethod {
						return echo(s)
					}
					in := &message{}
					if err := s.RecvMsg(in); err != nil {
						return err
					}
					return misbehave(s.Context(), string(in.GetValue()), s.SendMsg)
				},
			}.register(r, &transcript{})
		})
		cc := push.Client(target)
		var live []grpc.ClientStream
		for range 10 {
			s, err := cc.NewStream(t.Context(), descs[bidiMethod], bidiMethod)
			if err != nil {
				t.Fatalf("opening a stream: got %v, want no error", err)
			}
			live = append(live, s)
		}
		for name, c := range cases {
			if err := c.call(t.Context(), cc); status.Code(err) != c.want {
				t.Errorf("%s: got %v, want %v", name, err, c.want)
			}
			for _, s := range live {
				m := &message{}
				if err := s.SendMsg(text(name)); err != nil {
					t.Fatalf("a stream beside a call with %s: got %v of SendMsg, want no error", name, err)
				}
				if err := s.RecvMsg(m); err != nil || string(m.GetValue()) != name {
					t.Fatalf("a stream beside a call with %s: got %v and %q of RecvMsg, want the echo", name, err, m.GetValue())
				}
			}
			if err := cc.Invoke(t.Context(), unaryMethod, text("a"), &message{}); err != nil {
				t.Fatalf("a call after one with %s: got %v, want no error", name, err)
			}
		}
		for session := range push.Sessions() {
			if got, want := session.InFlight(), len(live); got != want {
				t.Errorf("the calls under way: got %d, want %d", got, want)
			}
		}
	})
}

// TestEndedCallFreesItsPlace: a call that ends in whatever way makes room for the
// next one.
func TestEndedCallFreesItsPlace(t *testing.T) {
	ways := map[string]func(ctx context.Context, cc grpc.ClientConnInterface) error{
		"an answer": func(ctx context.Context, cc grpc.ClientConnInterface) error {
			return cc.Invoke(ctx, unaryMethod, text("a"), &message{})
		},
		"a cancel": func(ctx context.Context, cc grpc.ClientConnInterface) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			s, err := cc.NewStream(ctx, descs[bidiMethod], bidiMethod)
			if err != nil {
				return err
			}
			synctest.Wait()
			cancel()
			return s.RecvMsg(&message{})
		},
		"a deadline": func(ctx context.Context, cc grpc.ClientConnInterface) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			s, err := cc.NewStream(ctx, descs[bidiMethod], bidiMethod)
			if err != nil {
				return err
			}
			return s.RecvMsg(&message{})
		},
		"a request that can't be decoded": func(ctx context.Context, cc grpc.ClientConnInterface) error {
			return cc.Invoke(ctx, unaryMethod, text("a"), &message{}, grpc.ForceCodec(garbageCodec{}))
		},
		"a request that is too large": func(ctx context.Context, cc grpc.ClientConnInterface) error {
			return cc.Invoke(ctx, unaryMethod, size(5<<20), &message{})
		},
		"a method that is not there": func(ctx context.Context, cc grpc.ClientConnInterface) error {
			return cc.Invoke(ctx, "/conformance.Service/None", text("a"), &message{})
		},
		"credentials that fail": func(ctx context.Context, cc grpc.ClientConnInterface) error {
			return cc.Invoke(ctx, unaryMethod, text("a"), &message{}, refusing(status.Error(codes.Aborted, "no")))
		},
	}
	for name, f := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				push := tunneltest.NewServer(t)
				push.Connect(t, target, func(r grpc.ServiceRegistrar) {
					handlers{unary: echoUnary, stream: echo}.register(r, &transcript{})
				}, client.WithMaxConcurrentCalls(1))
				for range 3 {
					if err := f(t.Context(), push.Client(target)); status.Code(err) == codes.ResourceExhausted && name != "a request that is too large" {
						t.Errorf("a call: got %v, want a place for it", err)
					}
					synctest.Wait()
					if err := push.Client(target).Invoke(t.Context(), unaryMethod, text("a"), &message{}); err != nil {
						t.Errorf("the call after it: got %v, want no error", err)
					}
				}
			})
		})
	}
}
