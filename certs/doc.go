// Package certs makes TLS configurations whose certificates are read again when
// their files change, without a restart.
//
//	w, err := certs.Watch(certs.Files{
//		Certificate: "server.crt", Key: "server.key", // who this end is
//		Authorities: "authority.crt", // who vouches for the other end
//	})
//	defer w.Close()
//
// At a server with pushes:
//
//	g := grpc.NewServer(push.Direct(w.Server())) // or grpc.Creds(credentials.NewTLS(w.Server()))
//	l = tls.NewListener(l, w.Server())           // for the native protocol, which has no ALPN
//
// At a client:
//
//	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(w.Client("push.example.com"))))
//	c := client.New(cc, "kitchen", client.WithDirect(addr, w.Client("push.example.com")))
//
// A new handshake uses what was read last: the certificate and the authorities.
// Connections that exist go on as they are, for as long as they last, even if their
// certificate expires or its authority is taken away. docs/TLS.md is a guide.
//
// # Files that cannot be used
//
// When Watch is called that is an error. Later on, what was read last stays in use
// and the logger is told, once for each new reason: a file is gone or cannot be
// read, a PEM block is cut off or broken, there is no certificate in it, or the key is
// not that of the certificate. A certificate with its key is one thing and the
// authorities another: each changes without the other.
//
// Files that are written in place may be seen half written. They are read again
// after the interval, so that costs a log line at most. But nobody can tell that a
// file which ends after a whole block has lacked the next one: write a new file
// and rename it. If the certificate and its key are in one file, renaming it changes
// both at once.
//
// Private keys are never logged.
package certs
