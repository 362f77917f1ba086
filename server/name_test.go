package server_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

func TestNamesThatAreAllowed(t *testing.T) {
	for why, name := range map[string]string{
		"short":           "c",
		"with spaces":     "the client in room 3",
		"as long as can":  strings.Repeat("x", 255),
		"not ASCII":       "Zoë 客户端 🚀",
		"with separators": "a/b:c*d>e.f",
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				push := tunneltest.NewServer(t)
				push.Connect(t, name, answers("yes"))
				wantAnswer(t, push.Client(name), "yes")
				wantSame(t, "names", names(push), []string{name})
			})
		})
	}
}

func TestClientnameBinCarriesAnyName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		for _, name := range []string{"plain", "é"} {
			dialRaw(t, push.Dial(t), "clientname-bin", name).hello(&pb.Hello{})
			if got := only(t, push, name).Name(); got != name {
				t.Errorf("got the name %q, want %q", got, name)
			}
		}
	})
}

func TestNamesThatAreRefused(t *testing.T) {
	for why, test := range map[string]struct {
		metadata []string
		text     string
	}{
		"none":                        {nil, `pushtunnel: no client name: set "clientname" in the stream's metadata`},
		"empty":                       {[]string{"clientname", ""}, "pushtunnel: the client name is empty"},
		"empty, binary":               {[]string{"clientname-bin", ""}, "pushtunnel: the client name is empty"},
		"too long":                    {[]string{"clientname", strings.Repeat("x", 256)}, "pushtunnel: the client name has 256 bytes, above the limit of 255"},
		"too long in bytes":           {[]string{"clientname-bin", strings.Repeat("é", 128)}, "pushtunnel: the client name has 256 bytes, above the limit of 255"},
		"with a zero byte":            {[]string{"clientname-bin", "a\x00b"}, `pushtunnel: the client name "a\x00b" has a control character`},
		"with a line feed":            {[]string{"clientname-bin", "a\nb"}, `pushtunnel: the client name "a\nb" has a control character`},
		"with DEL":                    {[]string{"clientname-bin", "a\x7f"}, `pushtunnel: the client name "a\x7f" has a control character`},
		"with a C1 control character": {[]string{"clientname-bin", "a\u0085"}, `pushtunnel: the client name "a\u0085" has a control character`},
		"not UTF-8":                   {[]string{"clientname-bin", "a\xff"}, "pushtunnel: the client name is not valid UTF-8"},
		"under both keys":             {[]string{"clientname", "a", "clientname-bin", "a"}, "pushtunnel: 2 client names; there must be one"},
		"several values":              {[]string{"clientname", "a", "clientname", "b"}, "pushtunnel: 2 client names; there must be one"},
		"several binary values":       {[]string{"clientname-bin", "a", "clientname-bin", "a"}, "pushtunnel: 2 client names; there must be one"},
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				push := tunneltest.NewServer(t)
				err := dialRaw(t, push.Dial(t), test.metadata...).end()
				wantCode(t, err, codes.InvalidArgument)
				if got := status.Convert(err).Message(); got != test.text {
					t.Errorf("got %q, want %q", got, test.text)
				}
				nobody(t, push)
			})
		})
	}
}

func TestAClientDoesNotTryAnImpossibleName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		for _, name := range []string{"", "a\n", strings.Repeat("x", 256), "\xff"} {
			if err := client.New(push.Dial(t), name).Serve(t.Context()); err == nil {
				t.Errorf("name %q: got nil, want an error", name)
			}
		}
		nobody(t, push)
	})
}
