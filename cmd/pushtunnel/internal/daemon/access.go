package daemon

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/server"
)

// access decides who may be which client, and who may push. It does not change.
type access struct {
	tokens       *tokens  // nil: there are none
	certificates bool     // those of clients are asked for
	callers      []string // names in the certificates of callers
	anonymous    bool     // nobody needs to prove anything on this machine
	native       bool     // native clients are believed: their addresses were checked
}

// caller is somebody who may push.
type caller struct {
	name       string
	namespaces *[]string // nil: all
	admin      bool
}

// identify is the server's identity function.
func (a *access) identify(ctx context.Context, c server.Candidate) (server.Identity, error) {
	switch {
	case c.Protocol == nativeProtocol && a.native:
		return server.TrustClaims(ctx, c)
	case len(verified(c.Peer)) > 0:
		return server.CertificateIdentity(ctx, c)
	case a.tokens != nil:
		return server.TokenIdentity(a.clientOf)(ctx, c)
	case a.certificates:
		return server.CertificateIdentity(ctx, c) // says what it lacks
	case a.anonymous:
		return server.TrustClaims(ctx, c)
	}
	return server.Identity{}, errors.New("pushtunnel: nobody may connect here")
}

func (a *access) clientOf(_ context.Context, token string) (server.Identity, error) {
	if id, ok := a.tokens.clients[sha256.Sum256([]byte(token))]; ok {
		return id, nil
	}
	return server.Identity{}, errors.New("the token is unknown")
}

// mayPush reports why the call that has ctx may not go to a namespace.
func (a *access) mayPush(ctx context.Context, namespace string) error {
	c, err := a.caller(ctx)
	if err != nil {
		return err
	}
	if c.namespaces != nil && !slices.Contains(*c.namespaces, namespace) {
		return status.Errorf(codes.PermissionDenied, "pushtunnel: %q may not push to namespace %q", c.name, namespace)
	}
	return nil
}

// mayLook reports why the call that has ctx may not see who is connected.
func (a *access) mayLook(ctx context.Context, _ string) error {
	c, err := a.caller(ctx)
	if err == nil && !c.admin {
		err = status.Errorf(codes.PermissionDenied, "pushtunnel: %q may not see who is connected: give it admin: true", c.name)
	}
	return err
}

// caller returns who makes the call that has ctx.
func (a *access) caller(ctx context.Context) (caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return caller{}, status.Error(codes.Unauthenticated, "pushtunnel: nobody knows where the call comes from")
	}
	if a.anonymous {
		if loopback(p.Addr) {
			return caller{name: "this machine", admin: true}, nil
		}
		return caller{}, status.Error(codes.Unauthenticated, "pushtunnel: only this machine may push: set --tokens or --tls-client-ca at the server")
	}
	if a.tokens != nil {
		if token, ok := bearer(ctx); ok {
			if c, ok := a.tokens.callers[sha256.Sum256([]byte(token))]; ok {
				return c, nil
			}
			return caller{}, status.Error(codes.Unauthenticated, "pushtunnel: the caller's token is unknown")
		}
	}
	for _, name := range verified(p) {
		if slices.Contains(a.callers, name) {
			return caller{name: name, admin: true}, nil
		}
	}
	return caller{}, status.Error(codes.Unauthenticated, "pushtunnel: who pushes needs a token of a caller, or a certificate with a name of --caller-certificate")
}

// bearer returns the token in the metadata of a call.
func bearer(ctx context.Context) (string, bool) {
	for _, v := range metadata.ValueFromIncomingContext(ctx, "authorization") {
		if scheme, token, ok := strings.Cut(v, " "); ok && strings.EqualFold(scheme, "bearer") {
			return token, true
		}
	}
	return "", false
}

// verified returns the names in the certificate that TLS has verified.
func verified(p *peer.Peer) []string {
	if p == nil {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil
	}
	return names(info.State.VerifiedChains[0][0])
}

func names(c *x509.Certificate) []string {
	all := slices.Concat(c.DNSNames, c.EmailAddresses)
	for _, u := range c.URIs {
		all = append(all, u.String())
	}
	return all
}

// loopback reports whether an address is of this machine.
func loopback(a net.Addr) bool {
	if a == nil {
		return false
	}
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// local reports whether a listener at this address can be reached from this machine
// alone.
func local(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
