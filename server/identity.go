package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Candidate is a client that asks to be let in.
type Candidate struct {
	// Claim is what it says of itself. Nothing of it is proved.
	tunnel.Claim
	// Protocol is what carries its session: "grpc", "direct", or the name of a
	// protocol of Serve.
	Protocol string
	// Peer is its connection: the address, which is that of the nearest proxy if
	// there is one, and with TLS a credentials.TLSInfo. It is never nil.
	Peer *peer.Peer
}

// Identity is who a client is, and what it may be called.
type Identity struct {
	// Name and Namespace are those that the client gets, whatever it has claimed. A
	// name is needed.
	Name, Namespace string
	// Labels are those that the client gets. Those of the claim are not among them
	// unless they are put there.
	Labels map[string]string
	// Subject is what the client has proved to be: the same for all clients of a
	// device or an account. WithMaxSessionsPerSubject counts by it, and logs and
	// handlers see it. Empty means that nothing is proved.
	Subject string
}

// IdentityFunc decides who a client is, or refuses it. The error's status is what
// the client is told, as far as its protocol can; an error without one becomes
// PERMISSION_DENIED. The client stops on UNAUTHENTICATED and PERMISSION_DENIED, and
// tries again after UNAVAILABLE: see client.Permanent.
//
// The context ends when the handshake has taken too long. It has the metadata that
// a gRPC client or a direct one has sent, and what interceptors have put in it. The
// function runs on a goroutine of the connection, once for each connection that says a
// name: native clients have several. A panic in it is nobody's to catch.
type IdentityFunc func(ctx context.Context, c Candidate) (Identity, error)

// WithIdentity sets who decides what a client is called. The default is
// TrustClaims, with a warning in the log when Serve listens where others than this
// machine can connect.
func WithIdentity(f IdentityFunc) Option { return optionFunc(func(o *options) { o.identity = f }) }

// TrustClaims lets every client have what it claims. It is for networks in which
// nobody lies, and for servers whose gRPC interceptors have checked the claim.
func TrustClaims(_ context.Context, c Candidate) (Identity, error) {
	return Identity{Name: c.Name, Namespace: c.Namespace, Labels: c.Labels}, nil
}

// CertificateIdentity lets a client have the names that its certificate is for: its
// DNS names, URIs and mail addresses (subject alternative names), letter by letter.
// The common name does not count. The subject is the first of them, URIs before the
// others. The certificate must have been verified, which is tls.Config.ClientAuth's
// to ask for. No namespace but the default one can be had, and no labels.
func CertificateIdentity(_ context.Context, c Candidate) (Identity, error) {
	info, _ := c.Peer.AuthInfo.(credentials.TLSInfo)
	if len(info.State.VerifiedChains) == 0 {
		return Identity{}, status.Error(codes.Unauthenticated, "pushtunnel: the client has shown no certificate that could be verified")
	}
	names := namesOf(info.State.VerifiedChains[0][0])
	if !slices.Contains(names, c.Name) {
		return Identity{}, status.Errorf(codes.PermissionDenied, "pushtunnel: the client's certificate is for %s, not for %q", list(names), c.Name)
	}
	return granted(c, Identity{Name: c.Name, Subject: names[0]})
}

func namesOf(cert *x509.Certificate) []string {
	var names []string
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	return append(append(names, cert.DNSNames...), cert.EmailAddresses...)
}

// list is names for people.
func list(names []string) string {
	const most = 8
	if len(names) == 0 {
		return "no name"
	}
	more := ""
	if len(names) > most {
		names, more = names[:most], ", ..."
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(quoted, ", ") + more
}

// TokenIdentity lets a client have what its bearer token is for. verify checks the
// token, which came in the metadata key "authorization", and returns that. The
// claimed name must be the token's, and a claimed namespace, too. A client without
// a token gets UNAUTHENTICATED; so does one whose token verify refuses with an
// error that is no status and no timeout. If verify can't tell because something
// else is away, let it return UNAVAILABLE: then the client tries again.
func TokenIdentity(verify func(ctx context.Context, token string) (Identity, error)) IdentityFunc {
	return func(ctx context.Context, c Candidate) (Identity, error) {
		token, err := auth.AuthFromMD(ctx, "bearer")
		if err != nil {
			return Identity{}, status.Error(codes.Unauthenticated, "pushtunnel: the client has sent no bearer token")
		}
		id, err := verify(ctx, token)
		if err != nil {
			if _, ok := status.FromError(err); !ok && !late(ctx, err) {
				err = status.Errorf(codes.Unauthenticated, "pushtunnel: the client's token is refused: %v", err)
			}
			return Identity{}, err
		}
		return granted(c, id)
	}
}

// granted returns id unless the client has claimed to be something else.
func granted(c Candidate, id Identity) (Identity, error) {
	if c.Name != id.Name {
		return Identity{}, status.Errorf(codes.PermissionDenied, "pushtunnel: the client may be called %q, not %q", id.Name, c.Name)
	}
	if c.Namespace != "" && c.Namespace != id.Namespace {
		return Identity{}, status.Errorf(codes.PermissionDenied, "pushtunnel: client %q may be in namespace %q, not in %q", c.Name, id.Namespace, c.Namespace)
	}
	return id, nil
}

// identify asks who a client is. remote is what it says of itself.
func (s *Server) identify(ctx context.Context, remote tunnel.Peer, p *peer.Peer) (tunnel.Peer, error) {
	c := Candidate{
		Claim:    tunnel.Claim{Name: remote.Name, Namespace: remote.Namespace, Labels: remote.Labels},
		Protocol: remote.Protocol, Peer: p,
	}
	if err := c.Check(); err != nil {
		return remote, s.reject(c, status.Error(codes.InvalidArgument, "pushtunnel: "+err.Error()))
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.tunnel.WithDefaults().HandshakeTimeout)
	defer cancel()
	ask := s.opts.identity
	if ask == nil {
		ask = TrustClaims
	}
	id, err := ask(ctx, c)
	if err != nil {
		return remote, s.reject(c, refusal(ctx, c, err))
	}
	if err := (tunnel.Claim{Name: id.Name, Namespace: id.Namespace, Labels: id.Labels}).Check(); err != nil {
		return remote, s.reject(c, status.Errorf(codes.Internal, "pushtunnel: the server's identity function has made a mistake: %v", err))
	}
	remote.Name, remote.Namespace, remote.Labels, remote.Subject = id.Name, id.Namespace, id.Labels, id.Subject
	remote.Claim = &c.Claim
	return remote, nil
}

// late reports whether err says that something took too long, rather than that it
// has failed.
func late(ctx context.Context, err error) bool {
	var timeout interface{ Timeout() bool }
	return ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.As(err, &timeout) && timeout.Timeout()
}

// refusal is what a client is told that err refuses.
func refusal(ctx context.Context, c Candidate, err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	if late(ctx, err) {
		return status.Errorf(codes.Unavailable, "pushtunnel: who client %q is could not be found out in time", c.Name)
	}
	return status.Errorf(codes.PermissionDenied, "pushtunnel: client %q is refused: %v", c.Name, err)
}
