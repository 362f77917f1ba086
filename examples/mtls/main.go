// Command mtls shows mutual TLS: a server and clients that know each other by
// certificates, which are renewed while they run.
//
//	sh examples/mtls/certs.sh                # makes the certificates
//	go run ./examples/mtls server            # listens on 127.0.0.1:8443
//	go run ./examples/mtls client kitchen    # in another terminal
//	sh examples/mtls/certs.sh renew          # in a third one
//
// server.go and client.go are what to copy. README.md says what is printed.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

const usage = `usage:
  mtls server [address]           default 127.0.0.1:8443
  mtls client name [address]      default 127.0.0.1:8443

The certificates are in examples/mtls/pki, or in $PKI.
`

// program is what the server and the client are started with.
type program struct {
	pki      string        // the folder of certificates
	interval time.Duration // how often they are read; 0 is the default
	every    time.Duration // how often the server pushes
	out      io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	p := program{pki: filepath.Join("examples", "mtls", "pki"), every: 2 * time.Second, out: os.Stdout}
	if pki := os.Getenv("PKI"); pki != "" {
		p.pki = pki
	}
	err := p.run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mtls:", err)
		if errors.Is(err, os.ErrNotExist) {
			fmt.Fprintln(os.Stderr, "mtls: certs.sh makes the certificates: sh examples/mtls/certs.sh")
		}
		os.Exit(1)
	}
}

func (p program) run(ctx context.Context, args []string) error {
	arg := func(i int, def string) string {
		if len(args) > i {
			return args[i]
		}
		return def
	}
	switch role, name := arg(0, ""), arg(1, ""); {
	case role == "server":
		return p.server(ctx, arg(1, "127.0.0.1:8443"))
	case role == "client" && name != "":
		return p.client(ctx, name, arg(2, "127.0.0.1:8443"))
	default:
		fmt.Fprint(p.out, usage)
		return nil
	}
}

// file is the path of a file with certificates.
func (p program) file(name string) string { return filepath.Join(p.pki, name) }

// certificate returns the certificate that the other end has shown.
func certificate(p *peer.Peer) *x509.Certificate {
	if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
		return info.State.PeerCertificates[0]
	}
	return &x509.Certificate{}
}

// describe tells certificates apart.
func describe(c *x509.Certificate) string {
	return fmt.Sprintf("%x, until %s", c.SerialNumber, c.NotAfter.Local().Format(time.DateTime))
}
