package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// Server returns a configuration for a server. If there are Authorities, clients
// have to show a certificate of theirs that is for client authentication:
// ConnectionState.VerifiedChains has it. See WithOptionalClientCertificates.
//
// It works with credentials.NewTLS, with server.Server's Direct and OnePort, and with
// tls.NewListener. It has no ALPN protocols: the first two add theirs. What is changed
// in it before it is used holds for all connections, as MinVersion or NextProtos;
// Certificates, ClientCAs and GetConfigForClient are the Watcher's.
//
// TLS sessions are not resumed: a client whose authority has gone can't come back by
// an old ticket.
//
// Server panics if Files has no Certificate.
func (w *Watcher) Server(opts ...ServerOption) *tls.Config {
	if w.identity == nil {
		panic("pushtunnel: certs: a server needs Files.Certificate and Files.Key") //nolint:forbidigo // misuse at start-up
	}
	var o serverOptions
	for _, opt := range opts {
		opt.applyServer(&o)
	}
	cfg := &tls.Config{SessionTicketsDisabled: true}
	switch {
	case w.authorities == nil:
	case o.optional:
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	default:
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := cfg.Clone()
		now.GetConfigForClient = nil
		now.Certificates = []tls.Certificate{*w.identity.Load()}
		if w.authorities != nil {
			now.ClientCAs = w.authorities.Load()
		}
		return now, nil
	}
	return cfg
}

// Client returns a configuration for a client. serverName is the DNS name or the IP
// address that must be in the server's certificate. If it is empty, it is the host
// that is dialled, which must be a DNS name if there are Authorities. With a
// serverName, changing ServerName changes what the client asks for, not what it
// accepts.
//
// If Files has a Certificate the client shows it when the server asks for one.
//
// It works with credentials.NewTLS, client.WithDirect and tls.Client. crypto/tls has no
// way to change the authorities of a client's configuration. So, if there are
// Authorities, InsecureSkipVerify is set and VerifyConnection verifies what crypto/tls
// would have, with the authorities of that time: leave both as they are.
// ConnectionState.VerifiedChains is empty then. RootCAs and Time have no effect.
func (w *Watcher) Client(serverName string) *tls.Config {
	cfg := &tls.Config{ServerName: serverName}
	if w.identity != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return w.identity.Load(), nil
		}
	}
	if w.authorities != nil {
		cfg.InsecureSkipVerify = true // VerifyConnection verifies
		cfg.VerifyConnection = func(state tls.ConnectionState) error {
			return verify(state, serverName, w.authorities.Load())
		}
	}
	return cfg
}

var errNoName = errors.New("pushtunnel: certs: the server's name is not known, so its certificate can't be verified: give it to Client")

// verify verifies a server's certificate as crypto/tls does.
func verify(state tls.ConnectionState, name string, roots *x509.CertPool) error {
	if name == "" {
		name = state.ServerName // empty for an IP address
	}
	if name == "" {
		return errNoName // x509 would accept any name
	}
	chain := state.PeerCertificates
	if len(chain) == 0 {
		return errors.New("pushtunnel: certs: the server has shown no certificate")
	}
	opts := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}
