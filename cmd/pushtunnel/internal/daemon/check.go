package daemon

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/pushtunnel/pushtunnel/server"
)

// Check reports all that is wrong with the settings by themselves. Files and
// addresses are CheckFiles' and Start's to find out about.
func (s *Settings) Check() error {
	var all []error
	bad := func(format string, args ...any) { all = append(all, fmt.Errorf("pushtunnel: "+format, args...)) }

	for _, l := range []struct{ flag, addr string }{
		{"listen", s.Listen}, {"admin-listen", s.AdminListen}, {"native-listen", s.NativeListen},
	} {
		if _, _, err := net.SplitHostPort(l.addr); err != nil && (l.addr != "" || l.flag == "listen") {
			bad("--%s=%q is no address: write host:port, or :port for all networks", l.flag, l.addr)
		}
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		bad("--tls-cert and --tls-key go together: set both")
	}
	if s.TLSClientCA != "" && s.TLSCert == "" {
		bad("--tls-client-ca needs TLS: set --tls-cert and --tls-key, too")
	}
	if len(s.Plaintext) > 0 && s.TLSCert == "" {
		bad("--plaintext is for a port with TLS: set --tls-cert and --tls-key, or leave it out")
	}
	if len(s.CallerCertificate) > 0 && s.TLSClientCA == "" {
		bad("--caller-certificate needs the authority of the certificates: set --tls-client-ca, too")
	}
	if !s.proves() && s.Listen != "" && !local(s.Listen) {
		bad("--listen=%s lets others than this machine in, and nothing proves who they are: set --tokens, or --tls-cert, --tls-key and --tls-client-ca; or listen on 127.0.0.1 to try it without", s.Listen)
	}
	if s.NativeListen != "" && len(s.NativeAllow) == 0 && s.TLSClientCA == "" && (s.proves() || !local(s.NativeListen)) {
		bad("--native-listen=%s: native clients have no tokens: set --native-allow to the networks that are believed, or --tls-client-ca", s.NativeListen)
	}
	for _, name := range s.AdminHost {
		if strings.ContainsAny(name, ":/ ") {
			bad("--admin-host=%q is no name: write it without a scheme and without a port", name)
		}
	}
	if s.Given() && s.NativeListen == "" {
		bad("--native-proto and --native-protoset are for native clients: set --native-listen, too")
	}
	if _, err := s.picker(); err != nil {
		all = append(all, err)
	}
	for _, n := range []struct {
		flag     string
		negative bool
	}{
		{"max-sessions", s.MaxSessions < 0},
		{"max-sessions-per-name", s.MaxSessionsPerName < 0},
		{"max-sessions-per-subject", s.MaxSessionsPerSubject < 0},
		{"connect-rate", s.ConnectRate < 0},
		{"connect-burst", s.ConnectBurst < 0},
		{"subject-connect-rate", s.SubjectConnectRate < 0},
		{"subject-connect-burst", s.SubjectConnectBurst < 0},
		{"max-connections", s.MaxConnections < 0},
		{"max-calls-per-session", s.MaxCallsPerSession < 0},
		{"call-rate", s.Calls.CallRate < 0},
		{"call-burst", s.Calls.CallBurst < 0},
		{"handshake-timeout", s.HandshakeTimeout < 0},
		{"reconnect-after", s.ReconnectAfter < 0},
		{"shutdown-timeout", s.ShutdownTimeout < 0},
		{"drain-delay", s.DrainDelay < 0},
		{"max-connection-age", s.MaxConnectionAge < 0},
	} {
		if n.negative {
			bad("--%s is negative", n.flag)
		}
	}
	if s.MaxMetadata > 256<<10 {
		bad("--max-metadata is above 256KiB, which is the most")
	}
	return errors.Join(all...)
}

// proves reports whether something proves who somebody is.
func (s *Settings) proves() bool { return s.Tokens != "" || s.TLSClientCA != "" }

// picker returns the picker of this name.
func (s *Settings) picker() (server.Picker, error) {
	if key, ok := strings.CutPrefix(s.Picker, "sticky:"); ok && key != "" {
		return server.Sticky(strings.ToLower(key)), nil
	}
	switch s.Picker {
	case "round-robin":
		return server.RoundRobin, nil
	case "least-in-flight":
		return server.LeastInFlight, nil
	case "newest":
		return server.Newest, nil
	}
	return nil, fmt.Errorf("pushtunnel: --picker=%q is none of round-robin, least-in-flight, newest and sticky:KEY", s.Picker)
}
