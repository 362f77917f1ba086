package conformance

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// token is credentials of a call's own.
type token struct {
	get    func(ctx context.Context, uri ...string) (map[string]string, error)
	secure bool
}

func (c token) RequireTransportSecurity() bool { return c.secure }

func (c token) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	return c.get(ctx, uri...)
}

func giving(pairs map[string]string) grpc.CallOption {
	return grpc.PerRPCCredentials(token{get: func(context.Context, ...string) (map[string]string, error) { return pairs, nil }})
}

func refusing(err error) grpc.CallOption {
	return grpc.PerRPCCredentials(token{get: func(context.Context, ...string) (map[string]string, error) { return nil, err }})
}

func TestCredentials(t *testing.T) {
	calling := func(want string, opts ...grpc.CallOption) scenario {
		return scenario{
			build: func(tr *transcript) handlers {
				return handlers{
					unary: func(ctx context.Context, in *message) (*message, error) {
						incoming(ctx, tr)
						return in, nil
					},
					stream: func(s *served) error {
						incoming(s.Context(), tr)
						return nil
					},
				}
			},
			call: func(ctx context.Context, c *call) {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "mine")
				if s := c.open(ctx, serverStreamMethod, opts...); s != nil {
					s.send(text("a"))
					s.finish()
				}
				c.unary(ctx, text("hello"), opts...)
			},
			want: want,
		}
	}
	compare(t, map[string]scenario{
		"give metadata":            calling("ok", giving(map[string]string{"authorization": "theirs", "data-bin": "\xff"})),
		"give a capital key":       calling("ok", giving(map[string]string{"Token": "theirs"})),
		"give nothing":             calling("ok", giving(nil)),
		"give a bad value":         calling("Internal", giving(map[string]string{"token": "a\nb"})),
		"give a bad key":           calling("Internal", giving(map[string]string{"to ken": "a"})),
		"the last option counts":   calling("ok", refusing(errors.New("no")), giving(map[string]string{"token": "last"})),
		"fail":                     calling("Internal", refusing(errors.New("no"))),
		"fail with a status":       calling("PermissionDenied", refusing(status.Error(codes.PermissionDenied, "no"))),
		"fail as if unavailable":   calling("Unavailable", refusing(status.Error(codes.Unavailable, "no"))),
		"fail as only a call may":  calling("Internal", refusing(status.Error(codes.NotFound, "no"))),
		"are for secure transport": calling("Unauthenticated", grpc.PerRPCCredentials(token{secure: true})),
		"know the method and the context": func() scenario {
			type key struct{}
			s := calling("ok")
			s.call = func(ctx context.Context, c *call) {
				c.unary(context.WithValue(ctx, key{}, "v"), text("hello"), grpc.PerRPCCredentials(token{get: func(ctx context.Context, uri ...string) (map[string]string, error) {
					info, ok := credentials.RequestInfoFromContext(ctx)
					c.tr.caller("request info is there", ok)
					c.tr.caller("method", info.Method)
					c.tr.caller("uris", uri)
					c.tr.caller("value", ctx.Value(key{}))
					return nil, nil
				}}))
			}
			return s
		}(),
	})
}

// secure is transport credentials that pass for secure ones.
type secure struct{}

type secureInfo struct{ credentials.CommonAuthInfo }

func (secureInfo) AuthType() string { return "test" }

func (secure) handshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, secureInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
}

func (s secure) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return s.handshake(conn)
}

func (s secure) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return s.handshake(conn)
}

func (secure) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "test"}
}
func (s secure) Clone() credentials.TransportCredentials { return s }
func (secure) OverrideServerName(string) error           { return nil }

// TestCredentialsOverSecureTransport: what needs a secure connection is sent on
// the tunnel of a client that came over one.
func TestCredentialsOverSecureTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := bufconn.Listen(1 << 20)
		push := server.New()
		g := grpc.NewServer(grpc.Creds(secure{}))
		push.Register(g)
		go g.Serve(listener)
		defer g.Stop()
		cc, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(secure{}),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		var got []string
		c := client.New(cc, target)
		handlers{unary: func(ctx context.Context, in *message) (*message, error) {
			got = metadata.ValueFromIncomingContext(ctx, "token")
			return in, nil
		}}.register(c, nil)
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			c.Serve(ctx)
		}()
		defer func() {
			cancel()
			<-stopped
		}()
		creds := token{secure: true, get: func(context.Context, ...string) (map[string]string, error) {
			return map[string]string{"token": "secret"}, nil
		}}
		err = push.Client(target).Invoke(t.Context(), unaryMethod, text("a"), &message{}, grpc.PerRPCCredentials(creds), grpc.WaitForReady(true))
		if err != nil {
			t.Errorf("a call with credentials over a secure tunnel: got %v, want none", err)
		}
		if diff := cmp.Diff([]string{"secret"}, got); diff != "" {
			t.Errorf("the token at the handler: got a difference (-want +got):\n%s", diff)
		}
	})
}

// TestCredentialsAreNotSent: a call whose credentials fail has not been sent.
func TestCredentialsAreNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc := connectTunnel(t, setup{}, func(r grpc.ServiceRegistrar) { handlers{unary: echoUnary}.register(r, nil) })
		for _, code := range []codes.Code{codes.Unavailable, codes.PermissionDenied} {
			err := cc.Invoke(t.Context(), unaryMethod, text("a"), &message{}, refusing(status.Error(code, "no")))
			if got := status.Code(err); got != code || !strings.Contains(err.Error(), "no") {
				t.Errorf("credentials that fail with %v: got %v, want that", code, err)
			}
			if !tunnel.NotSent(err) {
				t.Errorf("credentials that fail with %v: got a call that may have been sent, want it not sent", code)
			}
		}
	})
}
