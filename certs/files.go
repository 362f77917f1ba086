package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Files are PEM files. The zero value of a field is no file.
type Files struct {
	// Certificate has this end's certificate, and after it those that lead to its
	// authority, if they are needed.
	Certificate string
	// Key has its private key, not encrypted. It goes with Certificate. Both may be
	// the same file.
	Key string
	// Authorities has the certificates of those who may vouch for the other end: of
	// clients at a server, which demands a certificate of them then, and of the server
	// at a client. A client without it trusts the authorities of the system.
	Authorities string
}

// check says what is wrong with the choice of files.
func (f Files) check() error {
	switch {
	case (f.Certificate == "") != (f.Key == ""):
		return errors.New("pushtunnel: certs: Certificate and Key go together: set both or neither")
	case f.Certificate == "" && f.Authorities == "":
		return errors.New("pushtunnel: certs: nothing to watch: set Certificate and Key, or Authorities")
	}
	return nil
}

// parseIdentity makes a certificate of the contents of its file and of its key's.
func parseIdentity(contents ...[]byte) (*tls.Certificate, error) {
	if _, err := certificates(contents[0]); err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, err
	}
	return &cert, nil
}

// parseAuthorities makes a pool of the contents of a file.
func parseAuthorities(contents ...[]byte) (*x509.CertPool, error) {
	all, err := certificates(contents[0])
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range all {
		pool.AddCert(c)
	}
	return pool, nil
}

var begin = []byte("-----BEGIN ")

// certificates returns those of a PEM file. It takes no file of which it does not
// understand a part: that would be one that is half written. encoding/pem passes over
// such parts, and what is in crypto goes by that.
func certificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	blocks := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		blocks++
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("block %d: %w", blocks, err)
		}
		all = append(all, c)
	}
	switch {
	case blocks != bytes.Count(text, begin):
		return nil, errors.New("a PEM block is cut off or broken")
	case len(all) == 0:
		return nil, errors.New("there is no certificate in it")
	}
	return all, nil
}
