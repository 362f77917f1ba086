package production

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/certtest"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

func TestCertificateIdentity(t *testing.T) {
	each(t, func(t *testing.T, way string) {
		f := launch(t, server.WithIdentity(server.CertificateIdentity))
		cert := f.ca.Issue(t, "kitchen", "spiffe://home/kitchen", "kitchen@home.example")
		for _, name := range []string{"kitchen", "spiffe://home/kitchen", "kitchen@home.example"} {
			m := f.come(t, way, name, []tls.Certificate{cert})
			wantAnswer(t, f.Client(name), name+" hello")
			for s := range f.Sessions(name) {
				if s.Peer().Subject != "spiffe://home/kitchen" || s.Peer().Claim.Name != name {
					t.Errorf("the session is of %+v", s.Peer())
				}
			}
			m.cancel()
		}
	})
}

// Whoever has no certificate for a name does not get it, and stops.
func TestNobodyGetsANameThatIsNotTheirs(t *testing.T) {
	for _, test := range []struct {
		why   string
		certs func(*testing.T, *fleet) []tls.Certificate
		code  codes.Code
		text  string
	}{
		{
			"without a certificate", func(*testing.T, *fleet) []tls.Certificate { return nil },
			codes.Unauthenticated, "pushtunnel: the client has shown no certificate that could be verified",
		},
		{
			"with another's", func(t *testing.T, f *fleet) []tls.Certificate {
				return []tls.Certificate{f.ca.Issue(t, "garage", "kitchen2")}
			},
			codes.PermissionDenied, `pushtunnel: the client's certificate is for "garage", "kitchen2", not for "kitchen"`,
		},
		{
			"with the name in the common name only", func(t *testing.T, f *fleet) []tls.Certificate {
				return []tls.Certificate{f.ca.IssueNamed(t, "kitchen")}
			},
			codes.PermissionDenied, `pushtunnel: the client's certificate is for no name, not for "kitchen"`,
		},
	} {
		t.Run(test.why, func(t *testing.T) {
			each(t, func(t *testing.T, way string) {
				f := launch(t, server.WithIdentity(server.CertificateIdentity))
				f.come(t, way, "kitchen", []tls.Certificate{f.ca.Issue(t, "kitchen")})
				m := f.join(t, way, "kitchen", test.certs(t, f))
				r := await(t, f.refused, "refusal")
				wantStatus(t, "the hook", r.reason, test.code, test.text)
				if r.Name != "kitchen" || r.Protocol != way || r.Peer.Addr == nil {
					t.Errorf("the hook was told of %+v", r.Candidate)
				}
				if err := await(t, m.stopped, "end of the client"); way == "native" {
					// The protocol has no codes: it is refused, and that is all.
					if !client.Permanent(err) || !strings.Contains(err.Error(), test.text) {
						t.Errorf("the client has stopped on %v", err)
					}
				} else {
					wantStatus(t, "the client", err, test.code, test.text)
				}
				wantAnswer(t, f.Client("kitchen"), "kitchen hello")
				f.wantNames(t, "/kitchen")
			})
		})
	}
}

func TestACertificateOfAnotherAuthority(t *testing.T) {
	each(t, func(t *testing.T, way string) {
		f := launch(t, server.WithIdentity(server.CertificateIdentity))
		m := f.join(t, way, "kitchen", []tls.Certificate{certtest.New(t).Issue(t, "kitchen")})
		await(t, m.retried, "failed attempt") // a handshake that fails may do better later
		f.wantNames(t)
	})
}

// Connections of one native client are told apart from those that only say so,
// though they come from the same host.
func TestANativeConnectionIsNotOfAClientThatItNames(t *testing.T) {
	f := launch(t, server.WithIdentity(server.CertificateIdentity))
	f.come(t, "native", "kitchen", []tls.Certificate{f.ca.Issue(t, "kitchen")})
	for range 8 {
		f.join(t, "native", "kitchen", []tls.Certificate{f.ca.Issue(t, "mallory")})
		await(t, f.refused, "refusal")
	}
	for range 32 {
		wantAnswer(t, f.Client("kitchen"), "kitchen hello")
	}
	// Two that may both have the name are two clients, not one.
	twin := func(ctx context.Context, c server.Candidate) (server.Identity, error) {
		info := c.Peer.AuthInfo.(credentials.TLSInfo)
		return server.Identity{Name: c.Name, Subject: info.State.PeerCertificates[0].DNSNames[0]}, nil
	}
	f = launch(t, server.WithIdentity(twin))
	f.come(t, "native", "kitchen", []tls.Certificate{f.ca.Issue(t, "one")})
	f.come(t, "native", "kitchen", []tls.Certificate{f.ca.Issue(t, "two")})
	f.wantNames(t, "/kitchen", "/kitchen")
}

func TestTokenIdentity(t *testing.T) {
	broken := errors.New("the signature is wrong")
	verify := func(_ context.Context, token string) (server.Identity, error) {
		switch token {
		case "good":
			return server.Identity{Name: "kitchen", Namespace: "home", Subject: "account 1", Labels: map[string]string{"floor": "1"}}, nil
		case "later":
			return server.Identity{}, status.Error(codes.Unavailable, "the key server is away")
		}
		return server.Identity{}, broken
	}
	for _, test := range []struct {
		why, token, name, namespace string
		code                        codes.Code
		text                        string
	}{
		{"the token's name", "Bearer good", "kitchen", "", codes.OK, ""},
		{"and namespace", "Bearer good", "kitchen", "home", codes.OK, ""},
		{"another name", "Bearer good", "garage", "", codes.PermissionDenied, `pushtunnel: the client may be called "kitchen", not "garage"`},
		{"another namespace", "Bearer good", "kitchen", "work", codes.PermissionDenied, `pushtunnel: client "kitchen" may be in namespace "home", not in "work"`},
		{"a bad token", "Bearer bad", "kitchen", "", codes.Unauthenticated, "pushtunnel: the client's token is refused: the signature is wrong"},
		{"no token", "", "kitchen", "", codes.Unauthenticated, "pushtunnel: the client has sent no bearer token"},
		{"something else", "Basic good", "kitchen", "", codes.Unauthenticated, "pushtunnel: the client has sent no bearer token"},
	} {
		for _, way := range []string{"grpc", "direct"} { // a native client has no metadata
			t.Run(test.why+" "+way, func(t *testing.T) {
				f := launch(t, server.WithIdentity(server.TokenIdentity(verify)))
				opts := []client.Option{client.WithNamespace(test.namespace), client.WithLabels(map[string]string{"floor": "99"})}
				if test.token != "" {
					opts = append(opts, client.WithMetadata(metadata.Pairs("authorization", test.token)))
				}
				m := f.join(t, way, test.name, nil, opts...)
				if test.code != codes.OK {
					wantStatus(t, "the client", await(t, m.stopped, "end of the client"), test.code, test.text)
					f.wantNames(t)
					return
				}
				await(t, m.connected, "session")
				wantAnswer(t, f.Namespace("home").Client("kitchen"), "kitchen hello")
				for s := range f.Namespace("home").Sessions() {
					p := s.Peer()
					if s.Labels()["floor"] != "1" || p.Claim.Labels["floor"] != "99" || p.Subject != "account 1" {
						t.Errorf("the session is of %+v, who claims %+v", p, p.Claim)
					}
				}
			})
		}
	}
	t.Run("a refusal that heals", func(t *testing.T) {
		f := launch(t, server.WithIdentity(server.TokenIdentity(verify)))
		m := f.join(t, "grpc", "kitchen", nil, client.WithMetadata(metadata.Pairs("authorization", "Bearer later")))
		await(t, m.retried, "attempt")
		await(t, m.retried, "attempt")
	})
	t.Run("native clients have no token", func(t *testing.T) {
		f := launch(t, server.WithIdentity(server.TokenIdentity(verify)))
		m := f.join(t, "native", "kitchen", nil)
		if err := await(t, m.stopped, "end of the client"); !client.Permanent(err) {
			t.Errorf("the client has stopped on %v", err)
		}
	})
}

// The identity function says what a client is called, whatever it has claimed.
func TestIdentityDecides(t *testing.T) {
	each(t, func(t *testing.T, way string) {
		seen := make(chan server.Candidate, 10)
		f := launch(t, server.WithIdentity(func(_ context.Context, c server.Candidate) (server.Identity, error) {
			seen <- c
			return server.Identity{Name: "device-7", Namespace: "acme", Labels: map[string]string{"region": "eu"}, Subject: "acme"}, nil
		}))
		m := f.join(t, way, "anything", nil, client.WithLabels(map[string]string{"a": "b", "ü-no": "x"}))
		if way == "grpc" || way == "direct" {
			if err := await(t, m.stopped, "end of the client"); err == nil || !strings.Contains(err.Error(), "the label key") {
				t.Errorf("a bad label: %v", err)
			}
		}
		m = f.come(t, way, "anything", nil, client.WithLabels(map[string]string{"a": "ü"}))
		c := await(t, seen, "candidate")
		if c.Name != "anything" || c.Protocol != way || c.Peer.AuthInfo == nil {
			t.Errorf("the function was asked about %+v", c)
		}
		if way != "native" && c.Labels["a"] != "ü" {
			t.Errorf("the labels are %v", c.Labels)
		}
		wantAnswer(t, f.Namespace("acme").Client("device-7"), "anything hello")
		if _, err := ask(within(t), f.Client("device-7")); status.Code(err) != codes.Unavailable || !tunnel.NotSent(err) {
			t.Errorf("it is seen from another namespace: %v", err)
		}
		f.wantNames(t, "acme/device-7")
		m.cancel()
	})
}

// A mistake of the identity function lets nobody in.
func TestIdentityThatGrantsNoName(t *testing.T) {
	each(t, func(t *testing.T, way string) {
		f := launch(t, server.WithIdentity(func(context.Context, server.Candidate) (server.Identity, error) {
			return server.Identity{}, nil
		}))
		f.join(t, way, "kitchen", nil)
		r := await(t, f.refused, "refusal")
		wantStatus(t, "the hook", r.reason, codes.Internal, "pushtunnel: the server's identity function has made a mistake: the client name is empty")
		f.wantNames(t)
	})
}

// A client that is refused for now comes back, whatever its protocol.
func TestRefusalsThatHeal(t *testing.T) {
	for what, reason := range map[string]error{
		"a status":             status.Error(codes.NotFound, "not yet"),
		"a timeout":            fmt.Errorf("keys: %w", context.DeadlineExceeded),
		"a timeout of the net": &net.DNSError{IsTimeout: true},
	} {
		t.Run(what, func(t *testing.T) {
			each(t, func(t *testing.T, way string) {
				times := 0
				verify := func(ctx context.Context, c server.Candidate) (server.Identity, error) {
					if times++; times < 3 {
						return server.Identity{}, reason
					}
					return server.TrustClaims(ctx, c)
				}
				f := launch(t, server.WithIdentity(verify))
				f.come(t, way, "kitchen", nil)
			})
		})
	}
}

// The same for a token that can't be checked now.
func TestATokenThatCanNotBeCheckedNow(t *testing.T) {
	times := 0
	f := launch(t, server.WithIdentity(server.TokenIdentity(func(context.Context, string) (server.Identity, error) {
		if times++; times < 3 {
			return server.Identity{}, fmt.Errorf("keys: %w", context.DeadlineExceeded)
		}
		return server.Identity{Name: "kitchen"}, nil
	})))
	f.come(t, "grpc", "kitchen", nil, client.WithMetadata(metadata.Pairs("authorization", "Bearer x")))
}

// An identity function that does not come back is given up, and does not keep
// others waiting.
func TestIdentityThatHangs(t *testing.T) {
	each(t, func(t *testing.T, way string) {
		f := launch(t, server.WithHandshakeTimeout(300e6), server.WithIdentity(func(ctx context.Context, c server.Candidate) (server.Identity, error) {
			if c.Name == "slow" {
				<-ctx.Done()
				return server.Identity{}, ctx.Err()
			}
			return server.TrustClaims(ctx, c)
		}))
		f.join(t, way, "slow", nil)
		f.come(t, way, "fast", nil)
		r := await(t, f.refused, "refusal")
		wantStatus(t, "the hook", r.reason, codes.Unavailable, `pushtunnel: who client "slow" is could not be found out in time`)
	})
}

// A name in one namespace is another client than the same name in the next, for
// picks, waits, lists and takeovers.
func TestNamespaces(t *testing.T) {
	for _, way := range []string{"grpc", "direct"} {
		t.Run(way, func(t *testing.T) {
			f := launch(t, server.WithDuplicates(server.RefuseDuplicates))
			for _, ns := range []string{"", "a", "b"} {
				f.come(t, way, "kitchen", nil, client.WithNamespace(ns))
			}
			f.wantNames(t, "/kitchen", "a/kitchen", "b/kitchen")
			for _, ns := range []string{"", "a", "b"} {
				n := 0
				for s := range f.Namespace(ns).Sessions() {
					if n++; s.Namespace() != ns {
						t.Errorf("%q has a session of %q", ns, s.Namespace())
					}
				}
				if n != 1 {
					t.Errorf("%q has %d sessions, want 1", ns, n)
				}
				wantAnswer(t, f.Namespace(ns).Client("kitchen"), "kitchen hello")
			}
			answer := make(chan error, 1)
			go func() {
				_, err := ask(within(t), f.Namespace("a").Client("garage"), grpc.WaitForReady(true))
				answer <- err
			}()
			f.come(t, way, "garage", nil, client.WithNamespace("b"))
			select {
			case err := <-answer:
				t.Errorf("the call has not waited: %v", err)
			default:
			}
			f.come(t, way, "garage", nil, client.WithNamespace("a"))
			if err := await(t, answer, "answer"); err != nil {
				t.Error(err)
			}
			_, err := ask(within(t), f.Namespace("c").Client("kitchen"))
			wantStatus(t, "another namespace", err, codes.Unavailable, `pushtunnel: client "kitchen" of namespace "c" is not connected`)
		})
	}
}
