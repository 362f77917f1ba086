package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pushtunnel/pushtunnel/certs"
	"github.com/pushtunnel/pushtunnel/client"
)

// target is the server that a command connects to.
type target struct {
	Server     string `short:"s" default:"127.0.0.1:7420" env:"PUSHTUNNEL_SERVER" placeholder:"ADDR" help:"The server's address." group:"Server"`
	TLS        bool   `env:"PUSHTUNNEL_TLS" help:"Use TLS, with the authorities of this system." group:"Server"`
	CA         string `name:"ca" type:"path" env:"PUSHTUNNEL_CA" placeholder:"FILE" help:"Use TLS, with these authorities, PEM." group:"Server"`
	Cert       string `type:"path" env:"PUSHTUNNEL_CERT" placeholder:"FILE" help:"Use TLS, and show this certificate, PEM." group:"Server"`
	Key        string `type:"path" env:"PUSHTUNNEL_KEY" placeholder:"FILE" help:"Its private key, PEM." group:"Server"`
	ServerName string `env:"PUSHTUNNEL_SERVER_NAME" placeholder:"NAME" help:"The name in the server's certificate, if it is not the host's." group:"Server"`
	Token      string `env:"PUSHTUNNEL_TOKEN" placeholder:"TOKEN" help:"A bearer token to show. Others on this machine may see flags: a file or the environment is better." group:"Server"`
	TokenFile  string `type:"path" env:"PUSHTUNNEL_TOKEN_FILE" placeholder:"FILE" help:"A file with the token." group:"Server"`
}

// tls returns the configuration of TLS, nil without. stop ends the reading of its
// files.
func (t *target) tls() (c *tls.Config, stop func(), err error) {
	if !t.TLS && t.CA == "" && t.Cert == "" && t.Key == "" {
		return nil, func() {}, nil
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, nil, usage(errors.New("--cert and --key go together: set both"))
	}
	name := t.ServerName
	if name == "" {
		if name, _, err = net.SplitHostPort(t.Server); err != nil {
			return nil, nil, usage(fmt.Errorf("--server=%q is no address: write host:port", t.Server))
		}
	}
	if t.CA == "" && t.Cert == "" { // there is nothing to read
		return &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}, func() {}, nil
	}
	w, err := certs.Watch(certs.Files{Certificate: t.Cert, Key: t.Key, Authorities: t.CA})
	if err != nil {
		return nil, nil, usage(err)
	}
	return w.Client(name), w.Close, nil
}

// dial returns a connection to the server, which is made when it is needed.
func (t *target) dial(tlsConfig *tls.Config, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if tlsConfig != nil {
		creds = credentials.NewTLS(tlsConfig)
	}
	cc, err := grpc.NewClient(t.Server, append(append(client.RecommendedOptions(), grpc.WithTransportCredentials(creds)), opts...)...)
	if err != nil {
		return nil, usage(fmt.Errorf("--server=%q: %w", t.Server, err))
	}
	return cc, nil
}

// bearer returns the token as credentials for calls, nil without.
func (t *target) bearer() (credentials.PerRPCCredentials, error) {
	token := t.Token
	if t.TokenFile != "" {
		data, err := os.ReadFile(t.TokenFile)
		if err != nil {
			return nil, usage(fmt.Errorf("--token-file: %w", err))
		}
		token = strings.TrimSpace(string(data))
	}
	if token == "" {
		return nil, nil
	}
	return bearerToken(token), nil
}

// bearerToken shows a token with each call, also without TLS: a proxy may do it.
type bearerToken string

func (b bearerToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearerToken) RequireTransportSecurity() bool { return false }

// caller is a connection for calls. close frees it.
func (t *target) caller(opts ...grpc.DialOption) (cc *grpc.ClientConn, closeAll func(), err error) {
	token, err := t.bearer()
	if err != nil {
		return nil, nil, err
	}
	if token != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(token))
	}
	c, stop, err := t.tls()
	if err != nil {
		return nil, nil, err
	}
	if cc, err = t.dial(c, opts...); err != nil {
		stop()
		return nil, nil, err
	}
	return cc, func() {
		_ = cc.Close()
		stop()
	}, nil
}
