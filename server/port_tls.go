package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/grpc/credentials"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// http2 is what gRPC is called in ALPN (RFC 9113, section 3.3).
const http2 = "h2"

// decrypt shakes hands and finds out what is inside TLS.
func (c *portCreds) decrypt(conn net.Conn) (matcher, net.Conn, credentials.AuthInfo, error) {
	if c.tls == nil { // ALPN decides, without exception
		conn, auth, err := c.TransportCredentials.ServerHandshake(conn)
		if err != nil {
			return nil, nil, nil, err
		}
		if info, ok := auth.(credentials.TLSInfo); ok && info.State.NegotiatedProtocol == tunnel.ALPN {
			return c.direct, conn, auth, nil
		}
		return grpcMatcher{}, conn, auth, nil
	}
	encrypted := tls.Server(conn, c.tls)
	if err := encrypted.Handshake(); err != nil { // the connection is closed when it has taken too long
		return nil, nil, nil, fmt.Errorf("tls: %w", err)
	}
	auth := tlsInfo(encrypted.ConnectionState())
	switch auth.State.NegotiatedProtocol {
	case http2:
		return grpcMatcher{}, encrypted, auth, nil
	case tunnel.ALPN:
		return c.direct, encrypted, auth, nil
	}
	who, same, err := recognise(encrypted, c.protocols)
	if err == nil && (who.Name() == grpcName || who.Name() == directName) {
		err = fmt.Errorf("%s over TLS without ALPN, which it asks for", who.Name())
	}
	return who, same, auth, err
}

// withALPN returns a configuration that knows the direct transport.
func withALPN(cfg *tls.Config) *tls.Config {
	return derived(cfg, func(cfg *tls.Config) {
		if !slices.Contains(cfg.NextProtos, tunnel.ALPN) {
			cfg.NextProtos = append([]string{tunnel.ALPN}, cfg.NextProtos...)
		}
	})
}

// withHTTP2 returns a configuration that does for HTTP/2 what credentials.NewTLS
// does: its name, TLS 1.2, and none of the cipher suites that RFC 9113, section 9.2.2,
// forbids, unless the user has chosen some.
func withHTTP2(cfg *tls.Config) *tls.Config {
	return derived(cfg, func(cfg *tls.Config) {
		if !slices.Contains(cfg.NextProtos, http2) {
			cfg.NextProtos = append(slices.Clone(cfg.NextProtos), http2)
		}
		if cfg.MinVersion == 0 && (cfg.MaxVersion == 0 || cfg.MaxVersion >= tls.VersionTLS12) {
			cfg.MinVersion = tls.VersionTLS12
		}
		if cfg.CipherSuites != nil {
			return
		}
		for _, suite := range tls.CipherSuites() {
			if !strings.Contains(suite.Name, "_CBC_") && !strings.HasPrefix(suite.Name, "TLS_RSA_") {
				cfg.CipherSuites = append(cfg.CipherSuites, suite.ID)
			}
		}
	})
}

// derived returns a copy that is changed, as are those that it chooses for a client.
func derived(cfg *tls.Config, change func(*tls.Config)) *tls.Config {
	cfg = cfg.Clone()
	change(cfg)
	if choose := cfg.GetConfigForClient; choose != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if err != nil || chosen == nil {
				return chosen, err
			}
			return derived(chosen, change), nil
		}
	}
	return cfg
}

// tlsInfo is what gRPC's own credentials would say of a TLS connection.
func tlsInfo(state tls.ConnectionState) credentials.TLSInfo {
	info := credentials.TLSInfo{State: state, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	if len(state.PeerCertificates) > 0 {
		info.SPIFFEID = spiffeID(state.PeerCertificates[0])
	}
	return info
}

// spiffeID returns the SPIFFE ID of a certificate, nil if it has none that is valid: it
// must be the only URI, with a trust domain and a path (the X.509-SVID specification,
// section 2, and SPIFFE-ID, section 2).
func spiffeID(cert *x509.Certificate) *url.URL {
	if len(cert.URIs) != 1 {
		return nil
	}
	id := cert.URIs[0]
	if id.Scheme != "spiffe" || id.Opaque != "" || id.User != nil || id.Host == "" || len(id.Host) > 255 || id.Path == "" || len(id.String()) > 2048 {
		return nil
	}
	return id
}
