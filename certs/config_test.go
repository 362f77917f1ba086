package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pushtunnel/pushtunnel/certs"
)

// Who gets in, and whom a client believes.
func TestHandshakes(t *testing.T) {
	ca, other := newAuthority(t, "authority"), newAuthority(t, "other")
	none := certs.Files{}
	for why, test := range map[string]struct {
		serverTrusts, clientTrusts *authority // nil: no Authorities
		clientOf                   *authority // nil: no certificate
		name                       string     // given to Client
		override                   string     // of the configuration, if not empty
		optional                   bool
		want                       shown
		err                        string
	}{
		"mutual":                           {ca, ca, ca, "push.test", "", false, shown{"server", "client"}, ""},
		"one-way":                          {nil, ca, nil, "push.test", "", false, shown{"server", ""}, ""},
		"the client is not asked":          {nil, ca, ca, "push.test", "", false, shown{"server", ""}, ""},
		"by address":                       {ca, ca, ca, "127.0.0.1", "", false, shown{"server", "client"}, ""},
		"by the host that is dialled":      {ca, ca, ca, "", "push.test", false, shown{"server", "client"}, ""},
		"by another host that is dialled":  {ca, ca, ca, "", "evil.test", false, shown{}, "not evil.test"},
		"by an address that is dialled":    {ca, ca, ca, "", "127.0.0.1", false, shown{}, "give it to Client"},
		"by nothing":                       {ca, ca, ca, "", "", false, shown{}, "give it to Client"},
		"another name":                     {ca, ca, ca, "evil.test", "", false, shown{}, "not evil.test"},
		"another name, another ServerName": {ca, ca, ca, "evil.test", "push.test", false, shown{}, "not evil.test"},
		"another address":                  {ca, ca, ca, "127.0.0.2", "", false, shown{}, "not 127.0.0.2"},
		"a server of another authority":    {ca, other, ca, "push.test", "", false, shown{}, "unknown authority"},
		"a server of nobody's authority":   {nil, nil, nil, "push.test", "", false, shown{}, "unknown authority"},
		"a client of another authority":    {ca, ca, other, "push.test", "", false, shown{"server", ""}, "unknown authority"},
		"a client without a certificate":   {ca, ca, nil, "push.test", "", false, shown{"server", ""}, "didn't provide a certificate"},
		"optional, without":                {ca, ca, nil, "push.test", "", true, shown{"server", ""}, ""},
		"optional, with":                   {ca, ca, ca, "push.test", "", true, shown{"server", "client"}, ""},
		"optional, of another authority":   {ca, ca, other, "push.test", "", true, shown{"server", ""}, "unknown authority"},
	} {
		t.Run(why, func(t *testing.T) {
			atServer, atClient := newFolder(t).identity(ca.issue(t, "server")), newFolder(t)
			if test.serverTrusts == nil {
				atServer.files.Authorities = ""
			} else {
				atServer.trust(test.serverTrusts)
			}
			if test.clientTrusts == nil {
				atClient.files.Authorities = ""
			} else {
				atClient.trust(test.clientTrusts)
			}
			if test.clientOf == nil {
				atClient.files.Certificate, atClient.files.Key = "", ""
			} else {
				atClient.identity(test.clientOf.issue(t, "client"))
			}
			var opts []certs.ServerOption
			if test.optional {
				opts = append(opts, certs.WithOptionalClientCertificates())
			}
			client := &tls.Config{ServerName: test.name}
			if atClient.files != none {
				client = atClient.watch().Client(test.name)
			}
			if test.override != "" {
				client.ServerName = test.override
			}
			got, err := handshake(atServer.watch().Server(opts...), client.Clone())
			switch {
			case test.err == "" && (err != nil || got != test.want):
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Errorf("got %v, %v, want the error %q", got, err, test.err)
			}
		})
	}
}

// The error of a server that is not believed is that of crypto/tls.
func TestVerificationError(t *testing.T) {
	ca, other := newAuthority(t, "authority"), newAuthority(t, "other")
	server := newFolder(t).identity(ca.issue(t, "server")).trust(ca).watch().Server()
	client := newFolder(t).identity(ca.issue(t, "client")).trust(other).watch().Client("push.test")
	_, err := handshake(server, client)
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || leaf(tls.ConnectionState{PeerCertificates: e.UnverifiedCertificates}) != "server" {
		t.Errorf("got %v, want a CertificateVerificationError with the server's certificate", err)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("got %v, want an UnknownAuthorityError", err)
	}
}

// A certificate for clients is none for a server, and the other way round.
func TestKeyUsage(t *testing.T) {
	ca := newAuthority(t, "authority")
	both := newFolder(t).identity(ca.issue(t, "both")).trust(ca).watch()
	only := func(usage x509.ExtKeyUsage) *certs.Watcher {
		return newFolder(t).identity(ca.issueFor(t, "one", usage)).trust(ca).watch()
	}
	if _, err := handshake(only(x509.ExtKeyUsageClientAuth).Server(), both.Client("push.test")); err == nil {
		t.Error("got a server with a client's certificate, want an error")
	}
	if _, err := handshake(both.Server(), only(x509.ExtKeyUsageServerAuth).Client("push.test")); err == nil {
		t.Error("got a client with a server's certificate, want an error")
	}
}

// Authorities move in three steps, each end by itself: all trust both, then the
// certificates change, then the old authority goes.
func TestAuthoritiesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := newAuthority(t, "before"), newAuthority(t, "after")
		atServer, atClient := newFolder(t).identity(before.issue(t, "s1")).trust(before), newFolder(t).identity(before.issue(t, "c1")).trust(before)
		late := newFolder(t).identity(before.issue(t, "late")).trust(before, after).watch().Client("push.test")
		server, client := atServer.watch().Server(), atClient.watch().Client("push.test")
		client.ClientSessionCache = tls.NewLRUClientSessionCache(10) // no ticket goes round the change
		late.ClientSessionCache = tls.NewLRUClientSessionCache(10)
		for _, step := range []struct {
			change func()
			want   shown
		}{
			{func() {}, shown{"s1", "c1"}},
			{func() { atServer.trust(before, after) }, shown{"s1", "c1"}},
			{func() { atClient.trust(before, after) }, shown{"s1", "c1"}},
			{func() { atServer.identity(after.issue(t, "s2")) }, shown{"s2", "c1"}},
			{func() { atClient.identity(after.issue(t, "c2")) }, shown{"s2", "c2"}},
			{func() { atServer.trust(after); atClient.trust(after) }, shown{"s2", "c2"}},
		} {
			if got, err := handshake(server, late); err != nil {
				t.Fatalf("got %v, %v of who is late, want no error yet", got, err)
			}
			step.change()
			time.Sleep(time.Minute)
			synctest.Wait()
			if got, err := handshake(server, client); got != step.want || err != nil {
				t.Fatalf("got %v, %v, want %v", got, err, step.want)
			}
		}
		if got, err := handshake(server, late); err == nil {
			t.Errorf("got %v for a certificate of the old authority, want an error", got)
		}
		atServer.identity(before.issue(t, "s3"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, err := handshake(server, client); err == nil {
			t.Errorf("got %v for a server of the old authority, want an error", got)
		}
	})
}

// What is set in a server's configuration counts in the one of each connection.
func TestServerConfigCanBeChanged(t *testing.T) {
	ca := newAuthority(t, "authority")
	w := newFolder(t).identity(ca.issue(t, "both")).trust(ca).watch()
	server, client := w.Server(), w.Client("push.test")
	server.NextProtos, server.MinVersion = []string{"one"}, tls.VersionTLS13
	client.NextProtos, client.MaxVersion = []string{"two", "one"}, tls.VersionTLS13
	var protocol string
	client.VerifyConnection = chain(client.VerifyConnection, func(s tls.ConnectionState) { protocol = s.NegotiatedProtocol })
	if _, err := handshake(server, client); err != nil || protocol != "one" {
		t.Errorf("got the protocol %q, %v, want one", protocol, err)
	}
	client.MaxVersion = tls.VersionTLS12
	if _, err := handshake(server, client); err == nil {
		t.Error("got TLS 1.2, want an error")
	}
}

func TestServerNeedsACertificate(t *testing.T) {
	f := newFolder(t).trust(newAuthority(t, "authority"))
	f.files.Certificate, f.files.Key = "", ""
	w := f.watch()
	defer func() {
		if recover() == nil {
			t.Error("got a server's configuration without a certificate, want a panic")
		}
	}()
	w.Server()
}

// A listener takes the configuration.
func TestListener(t *testing.T) {
	ca := newAuthority(t, "authority")
	w := newFolder(t).identity(ca.issue(t, "both")).trust(ca).watch()
	l, err := tls.Listen("tcp", "127.0.0.1:0", w.Server())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = conn.(*tls.Conn).HandshakeContext(t.Context())
			conn.Close()
		}
		accepted <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().(*net.TCPAddr).String(), w.Client("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := <-accepted; err != nil {
		t.Error(err)
	}
}

// chain is verify, with a look at what it has verified.
func chain(verify func(tls.ConnectionState) error, look func(tls.ConnectionState)) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		if verify != nil {
			if err := verify(s); err != nil {
				return err
			}
		}
		look(s)
		return nil
	}
}
