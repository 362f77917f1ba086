package client_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// token is per-RPC credentials.
type token string

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}
func (token) RequireTransportSecurity() bool { return false }

// connectMetadata returns the metadata of the stream that a client opens.
func connectMetadata(t *testing.T, ctx context.Context, name string, opts ...client.Option) metadata.MD {
	t.Helper()
	got := make(chan metadata.MD, 1)
	cc := play(t, func(n int, s stream) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		got <- md
		return serve(n, s)
	})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		client.New(cc, name, opts...).Serve(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	return <-got
}

func TestWhatIsSentToConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := connectMetadata(t, metadata.AppendToOutgoingContext(t.Context(), "from-context", "4"), "the client",
			client.WithMetadata(metadata.Pairs("a", "1", "b", "2")), client.WithMetadata(metadata.Pairs("a", "3", "c-bin", "\x00\xff")),
			client.WithCallOptions(grpc.PerRPCCredentials(token("secret"))))
		for key, want := range map[string][]string{
			"clientname": {"the client"}, "clientname-bin": nil, "a": {"1", "3"}, "b": {"2"}, "c-bin": {"\x00\xff"},
			"from-context": {"4"}, "authorization": {"Bearer secret"},
		} {
			if got := got.Get(key); !slices.Equal(got, want) {
				t.Errorf("metadata %q: got %q, want %q", key, got, want)
			}
		}
	})
}

func TestANameThatIsNotPrintableIsSentAsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, name := range []string{"é", strings.Repeat("客", 85)} {
			got := connectMetadata(t, t.Context(), name)
			if got, want := got.Get("clientname-bin"), []string{name}; !slices.Equal(got, want) {
				t.Errorf("clientname-bin: got %q, want %q", got, want)
			}
			if got := got.Get("clientname"); got != nil {
				t.Errorf("clientname: got %q, want none", got)
			}
		}
	})
}

// The metadata that the user gave are not changed, and not for this client alone.
func TestTheUsersMetadataAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		md := metadata.Pairs("clientname", "an impostor")
		if got := connectMetadata(t, t.Context(), "c1", client.WithMetadata(md)).Get("clientname"); !slices.Equal(got, []string{"c1"}) {
			t.Errorf("got the name %q, want %q", got, "c1")
		}
		if got := md.Get("clientname"); !slices.Equal(got, []string{"an impostor"}) {
			t.Errorf("got %q in the user's metadata, want them as they were", got)
		}
	})
}

func TestNameReturnsTheName(t *testing.T) {
	if got := client.New(nil, "c1").Name(); got != "c1" {
		t.Errorf("got %q, want %q", got, "c1")
	}
}

// An impossible name is found before anything is sent.
func TestAnImpossibleName(t *testing.T) {
	for _, name := range []string{"", "a\x00", strings.Repeat("x", tunnel.MaxName+1), "\xff"} {
		if err := client.New(nil, name).Serve(t.Context()); err == nil {
			t.Errorf("name %q: got nil, want an error", name)
		}
	}
}
