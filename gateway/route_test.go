package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/server"
)

func TestNewNeedsAnAuthorizer(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a gateway without an authorizer: got no panic")
		}
	}()
	gateway.New(server.New(), nil)
}

const method = "/grpc.testing.TestService/UnaryCall"

// TestAuthorizer checks what an authorizer is asked and what comes of its answer,
// whether the client is there or not.
func TestAuthorizer(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		code codes.Code
		text string
	}{
		"a status": {err: status.Error(codes.Unauthenticated, "who are you?"), code: codes.Unauthenticated, text: "who are you?"},
		"a plain error": {err: errors.New("not c1"), code: codes.PermissionDenied,
			text: "pushtunnel: " + method + " may not be called: not c1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := make(chan gateway.Request, 10)
				w := newWorld(t, setup{authorize: func(ctx context.Context, r gateway.Request) error {
					if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("authorization")) != 1 {
						t.Error("the authorizer does not see the caller's credentials")
					}
					asked <- r
					return test.err
				}})
				w.connect(t, "there", answers("there"))
				cc := w.caller(t, "authorization", "Bearer x")
				for _, client := range []string{"there", "nobody"} {
					_, outcome, err := ask(t.Context(), cc, "pushtunnel-client", client, "pushtunnel-wait-for-ready", "true", "pushtunnel-labels", "a=b")
					if st := status.Convert(err); st.Code() != test.code || st.Message() != test.text || outcome != "not sent" {
						t.Errorf("client %q: got %v, %q, want %v %q, not sent", client, err, outcome, test.code, test.text)
					}
					want := gateway.Request{Client: client, Method: method, Selector: server.MustSelector("a=b")}
					if diff := cmp.Diff(want, <-asked, cmp.Comparer(func(a, b server.Selector) bool { return a.String() == b.String() })); diff != "" {
						t.Errorf("asked for (-want +got):\n%s", diff)
					}
				}
			})
		})
	}
}

func TestNobodyNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, setup{authorize: func(context.Context, gateway.Request) error {
			t.Error("the authorizer was asked about a call that is not the gateway's")
			return nil
		}})
		_, outcome, err := ask(t.Context(), w.dial(t))
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "pushtunnel-client") || outcome != "" {
			t.Errorf("got %v, %q, want UNIMPLEMENTED with a hint and no outcome", err, outcome)
		}
		_, outcome, err = ask(t.Context(), w.dial(t), "pushtunnel-client", "")
		if status.Code(err) != codes.InvalidArgument || outcome != "not sent" {
			t.Errorf("an empty name: got %v, %q, want INVALID_ARGUMENT, not sent", err, outcome)
		}
	})
}

// TestKeys sends calls to some of several clients.
func TestKeys(t *testing.T) {
	for _, direct := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, setup{direct: direct, push: []server.Option{server.WithIdentity(server.TrustClaims)}})
			labels := func(pairs ...string) client.Option {
				m := make(map[string]string)
				for i := 0; i < len(pairs); i += 2 {
					m[pairs[i]] = pairs[i+1]
				}
				return client.WithLabels(m)
			}
			p1, _ := w.connect(t, "c1", answers("c1 eu"), labels("region", "eu"))
			w.connect(t, "c1", answers("c1 us"), labels("region", "us"))
			w.connect(t, "Küche", answers("Küche"), labels("room", "yes"))
			w.connect(t, "c1", answers("c1 acme"), client.WithNamespace("acme"), labels("region", "asia"))
			p2, _ := w.connect(t, "c2", answers("c2 acme"), client.WithNamespace("acme"), labels("region", "eu"))
			cc := w.dial(t)
			for _, test := range []struct {
				pairs []string
				want  string // who answers; empty: nobody
			}{
				{[]string{"pushtunnel-client", "c1", "pushtunnel-labels", "region=eu"}, "c1 eu"},
				{[]string{"pushtunnel-client", "c1", "pushtunnel-labels", "region=us"}, "c1 us"},
				{[]string{"pushtunnel-client", "c1", "pushtunnel-labels", "region=asia"}, ""},
				{[]string{"pushtunnel-labels", "region=us"}, "c1 us"},
				{[]string{"pushtunnel-labels", "region=asia"}, ""},
				{[]string{"pushtunnel-labels", "region=asia", "pushtunnel-namespace", "acme"}, "c1 acme"},
				{[]string{"pushtunnel-client-bin", "Küche"}, "Küche"},
				{[]string{"pushtunnel-client", "c1", "pushtunnel-namespace", "acme"}, "c1 acme"},
				{[]string{"pushtunnel-client", "c2", "pushtunnel-namespace", "acme"}, "c2 acme"},
				{[]string{"pushtunnel-client", "c2"}, ""},
				{[]string{"pushtunnel-session", p1.Session}, "c1 eu"},
				{[]string{"pushtunnel-session", p1.Session, "pushtunnel-client", "c1"}, "c1 eu"},
				{[]string{"pushtunnel-session", p1.Session, "pushtunnel-client", "c2"}, ""},
				{[]string{"pushtunnel-session", p1.Session, "pushtunnel-labels", "region=us"}, ""},
				{[]string{"pushtunnel-session", p2.Session}, ""}, // of another namespace
				{[]string{"pushtunnel-session", p2.Session, "pushtunnel-namespace", "acme"}, "c2 acme"},
				{[]string{"pushtunnel-session", "gone", "pushtunnel-wait-for-ready", "true"}, ""},
			} {
				got, outcome, err := ask(t.Context(), cc, test.pairs...)
				if test.want == "" {
					if status.Code(err) != codes.Unavailable || outcome != "not sent" || !strings.Contains(err.Error(), "is not connected") {
						t.Errorf("%q: got %v, %q, want UNAVAILABLE, not sent", test.pairs, err, outcome)
					}
				} else if got != test.want || err != nil {
					t.Errorf("%q: got an answer of %q, %v, want one of %q", test.pairs, got, err, test.want)
				}
			}
		})
	}
}

// TestWaitForReady calls clients before they connect.
func TestWaitForReady(t *testing.T) {
	for name, pairs := range map[string][]string{
		"by name":            {"pushtunnel-client", "c1"},
		"by name and labels": {"pushtunnel-client", "c1", "pushtunnel-labels", "region=eu"},
		"by labels":          {"pushtunnel-labels", "region=eu"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, setup{})
				cc := w.caller(t, append(pairs, "pushtunnel-wait-for-ready", "true")...)
				w.connect(t, "c1", answers("us"), client.WithNamespace("other"), client.WithLabels(map[string]string{"region": "eu"}))

				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, _, err := ask(ctx, cc)
				wantCode(t, err, codes.DeadlineExceeded)

				answered := make(chan error, 1)
				go func() {
					got, _, err := ask(t.Context(), cc)
					if err == nil && got != "eu" {
						err = errors.New("an answer of " + got)
					}
					answered <- err
				}()
				synctest.Wait()
				select {
				case err := <-answered:
					t.Fatalf("got %v before the client has connected", err)
				default:
				}
				w.connect(t, "c1", answers("eu"), client.WithLabels(map[string]string{"region": "eu"}))
				if err := <-answered; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestPicker gives sessions that match to a picker of the gateway's own.
func TestPicker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, setup{gateway: []gateway.Option{gateway.WithPicker(func(p server.Pick) *server.Session {
			if p.Name == "c2" {
				return nil
			}
			return server.Newest(p)
		})}})
		for _, who := range []string{"old", "new"} {
			w.connect(t, "c1", answers(who), client.WithLabels(map[string]string{"a": "b"}))
			w.connect(t, "c2", answers(who), client.WithLabels(map[string]string{"a": "c"}))
		}
		cc := w.dial(t)
		if got, _, err := ask(t.Context(), cc, "pushtunnel-client", "c1", "pushtunnel-labels", "a"); got != "new" || err != nil {
			t.Errorf("got an answer of %q, %v, want one of the newest", got, err)
		}
		_, outcome, err := ask(t.Context(), cc, "pushtunnel-client", "c2", "pushtunnel-labels", "a", "pushtunnel-wait-for-ready", "true")
		if status.Code(err) != codes.Unavailable || outcome != "not sent" {
			t.Errorf("a picker that chooses none: got %v, %q, want UNAVAILABLE, not sent", err, outcome)
		}
	})
}

// TestForwardedMetadata looks at what a client gets of a caller's metadata.
func TestForwardedMetadata(t *testing.T) {
	for name, test := range map[string]struct {
		opts []gateway.Option
		want metadata.MD
	}{
		"by default": {want: metadata.MD{"x-id": {"1", "2"}, "trace-bin": {"\x00\xff"}, "x-mine": {"m"}}},
		"with options": {
			opts: []gateway.Option{gateway.WithForwarded("Authorization"), gateway.WithDropped("X-Mine")},
			want: metadata.MD{"x-id": {"1", "2"}, "trace-bin": {"\x00\xff"}, "authorization": {"Bearer x"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, setup{gateway: test.opts})
				got := make(chan metadata.MD, 1)
				w.connect(t, "c1", answers("c1"), client.WithUnaryInterceptors(
					func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
						md, _ := metadata.FromIncomingContext(ctx)
						got <- md
						return next(ctx, req)
					}))
				cc := w.caller(t, "pushtunnel-client", "c1", "pushtunnel-namespace", "", "pushtunnel-wait-for-ready", "true",
					"authorization", "Bearer x", "cookie", "c", "x-api-key", "k", "x-mine", "m", "x-id", "1", "x-id", "2", "trace-bin", "\x00\xff")
				if _, _, err := ask(t.Context(), cc); err != nil {
					t.Fatal(err)
				}
				ignored := cmpopts.IgnoreMapEntries(func(k string, _ []string) bool {
					return strings.HasPrefix(k, ":") || k == "content-type" || k == "user-agent"
				})
				if diff := cmp.Diff(test.want, <-got, ignored); diff != "" {
					t.Errorf("the client's metadata (-want +got):\n%s", diff)
				}
			})
		})
	}
}
