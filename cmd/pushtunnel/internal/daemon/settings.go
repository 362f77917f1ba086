package daemon

import (
	"net/netip"
	"time"

	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/schema"
)

// Settings are what can be set, by flags, by the environment and by a file. The
// tags have the defaults, which are the library's own.
type Settings struct {
	Listen          string        `default:"127.0.0.1:7420" placeholder:"ADDR" help:"Where clients and callers connect: gRPC, and the direct transport on the same port."`
	AdminListen     string        `default:"127.0.0.1:7421" placeholder:"ADDR" help:"Where the admin page, metrics and health are, over HTTP. Empty: nowhere."`
	AdminPage       bool          `default:"true" help:"Whether there is an admin page: docs/ADMIN.md."`
	AdminHost       []string      `placeholder:"NAME" help:"A name under which the admin page may be asked for, as tunnels.example.com, besides addresses and localhost. May be repeated."`
	NativeListen    string        `placeholder:"ADDR" help:"Where clients of the native protocol (brpc-java) connect. The same as --listen: at that port. Empty: nowhere."`
	LogFormat       string        `enum:"text,json" default:"text" help:"text or json."`
	LogLevel        string        `enum:"debug,info,warn,error" default:"info" help:"debug, info, warn or error."`
	ShutdownTimeout time.Duration `default:"30s" help:"How long calls may take to end when the server is asked to stop."`
	DrainDelay      time.Duration `default:"0s" help:"How long the server goes on as before, but says that it is not ready, when it is asked to stop. For load balancers."`

	Security `embed:"" group:"Who may connect"`
	Sessions `embed:"" group:"Sessions and connections"`
	Calls    `embed:"" group:"Calls"`
	Memory   `embed:"" group:"Memory"`
	Native   `embed:"" prefix:"native-" group:"Native clients"`
}

// Security says who may connect, and who may push.
type Security struct {
	TLSCert           string         `type:"path" placeholder:"FILE" help:"The server's certificate, PEM. It is read again when it changes."`
	TLSKey            string         `type:"path" placeholder:"FILE" help:"Its private key, PEM."`
	TLSClientCA       string         `name:"tls-client-ca" type:"path" placeholder:"FILE" help:"Who vouches for the certificates of clients and callers, PEM. A client may have the names in its certificate."`
	Tokens            string         `type:"path" placeholder:"FILE" help:"Bearer tokens of clients and callers: see docs/CLI.md."`
	Plaintext         []string       `enum:"grpc,direct" placeholder:"PROTOCOL" help:"What may come without TLS to a port that has it: grpc or direct. May be repeated."`
	CallerCertificate []string       `placeholder:"NAME" help:"A name (DNS, URI or mail address) in the certificates of those who may push and look. May be repeated."`
	NativeAllow       []netip.Prefix `placeholder:"NET" help:"Networks of native clients, as 10.0.0.0/8, which are believed what they say, without TLS. May be repeated."`
}

// Sessions bounds sessions and connections.
type Sessions struct {
	MaxSessions           int           `default:"100000" help:"How many sessions there are. 0: any number."`
	MaxSessionsPerName    int           `default:"1000" help:"How many sessions a name has. 0: any number."`
	MaxSessionsPerSubject int           `default:"1000" help:"How many sessions a proved identity has. 0: any number."`
	ConnectRate           float64       `default:"1000" help:"How many sessions come in a second. 0: any number."`
	ConnectBurst          int           `default:"10000" help:"How many sessions come at once."`
	SubjectConnectRate    float64       `default:"10" help:"How many sessions of a proved identity come in a second. 0: any number."`
	SubjectConnectBurst   int           `default:"1000" help:"How many of them at once."`
	MaxConnections        int           `default:"100000" help:"How many raw connections there are. 0: any number."`
	HandshakeTimeout      time.Duration `default:"10s" help:"How long a connection may take for TLS and its first bytes, and a client then for its hello."`
	Heartbeat             time.Duration `default:"15s" help:"How often clients are asked for a sign of life. Negative: never."`
	ReconnectAfter        time.Duration `default:"0s" help:"How long clients wait, and as long again at random, when they are asked to go."`
	Duplicates            string        `enum:"allow,replace,refuse" default:"allow" help:"What becomes of a second client of a name: allow, replace or refuse."`
	MaxConnectionAge      time.Duration `default:"0s" help:"How long a gRPC connection lasts; clients move without loss. 0: for ever."`
	MaxConcurrentStreams  uint32        `default:"0" help:"How many calls a gRPC connection carries at a time. 0: any number. Callers need as many as they make calls."`
	WatchBacklog          int           `default:"1024" help:"How many changes are kept for those who watch."`
}

// onePort reports whether native clients connect where the others do.
func (s *Settings) onePort() bool { return s.NativeListen != "" && s.NativeListen == s.Listen }

// nativeTLS reports whether native clients show certificates; those that are believed for
// their addresses speak no TLS.
func (s *Settings) nativeTLS() bool { return s.TLSClientCA != "" && len(s.NativeAllow) == 0 }

// Calls bounds calls.
type Calls struct {
	Picker             string  `default:"round-robin" help:"Which session of a name gets a call: round-robin, least-in-flight, newest, or sticky:KEY, by the metadata KEY."`
	MaxCallsPerSession int     `default:"10000" help:"How many calls to a session are under way. 0: any number."`
	CallRate           float64 `default:"0" help:"How many calls a session gets in a second. 0: any number."`
	CallBurst          int     `default:"1" help:"How many of them at once."`
	MaxRecvMsgSize     Bytes   `default:"4MiB" help:"The largest message, of clients and of callers."`
	MaxMetadata        Bytes   `default:"64KiB" help:"The most metadata of an answer. At most 256KiB."`
}

// Memory bounds memory.
type Memory struct {
	CallWindow    Bytes `default:"64KiB" help:"What a client may send on a call before it is read, at first."`
	MaxCallWindow Bytes `default:"4MiB" help:"The same at most."`
	MaxBuffered   Bytes `default:"64MiB" help:"What has come on a session, beyond the first windows of its calls."`
	MaxQueued     Bytes `default:"64MiB" help:"What waits on a session for its client to take it. 0: no limit."`
	MaxMemory     Bytes `default:"1GiB" help:"Both, of all sessions. 0: no limit."`
}

// Native says what is called at native clients, and bounds them. Their protocol has no
// names for fields, so the server has to know the services that are pushed to them.
type Native struct {
	schema.Files `embed:""`

	MaxBody           Bytes         `default:"64MiB" help:"The largest frame."`
	MaxAnonymousBody  Bytes         `default:"4MiB" help:"The same for connections that have no name."`
	FrameTimeout      time.Duration `default:"1m" help:"How long a frame may take, for each 128 KiB of it; all of it on a connection that has no name."`
	IdleTimeout       time.Duration `default:"10m" help:"How long a connection without a name may be silent."`
	MaxConnsPerClient int           `default:"64" help:"How many connections a client has. A Java client has 8."`
	CallRate          float64       `name:"client-call-rate" default:"10000" help:"How many calls a native connection makes in a second. 0: any number."`
	CallBurst         int           `name:"client-call-burst" default:"10000" help:"How many of them at once."`
}
