package cli_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/internal/certtest"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// slow answers when it is let.
type slow struct {
	pb.UnimplementedNotifierServer
	entered, let chan struct{}
}

func (s *slow) Notify(ctx context.Context, _ *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	close(s.entered)
	select {
	case <-s.let:
		return &pb.NotifyResponse{Display: "at last"}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(data)
}

// dialer returns a connection to a server.
func dialer(t *testing.T, server []string) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient(strings.TrimPrefix(server[0], "--server="), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// A server that is asked to stop while a call runs says that it is not ready, and ends
// when the call has been answered.
func TestStopLosesNoCall(t *testing.T) {
	p, server := serve(t)
	cc := dialer(t, server)
	device := client.New(cc, "c1")
	handler := &slow{entered: make(chan struct{}), let: make(chan struct{})}
	pb.RegisterNotifierServer(device, handler)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- device.Serve(ctx) }()

	admin := p.logged(t, "serving")["admin"].(string)
	if code, body := get(t, admin+"/readyz"); code != http.StatusOK {
		t.Errorf("got %d %q, want it to be ready", code, body)
	}
	call := start(t, nil, with(server, "call", "c1", notify, "--wait", "--proto=../../../../examples/quickstart/notifierpb/notifier.proto")...)
	<-handler.entered
	p.stop()
	p.line(t, p.err, `"msg":"stopping"`)
	for code := http.StatusOK; code != http.StatusServiceUnavailable; {
		code, _ = get(t, admin+"/readyz")
	}
	if code, _ := get(t, admin+"/healthz"); code != http.StatusOK {
		t.Errorf("got %d, want it to be alive while it stops", code)
	}
	close(handler.let)
	<-call.done
	if call.code != 0 || call.out.String() != `{"display":"at last"}`+"\n" {
		t.Errorf("got %d, %q and %q, want an answer", call.code, call.out, call.err)
	}
	<-p.done
	if p.code != 0 {
		t.Errorf("serve: got exit code %d and %q, want 0", p.code, p.err)
	}
	p.logged(t, "stopped")
	cancel()
	<-ended
}

// A call that takes too long is cut off, and the exit code tells.
func TestStopCutsOff(t *testing.T) {
	p, server := serve(t, "--shutdown-timeout=50ms")
	device := connect(t, server, "c1", "--delay=1h")
	call := start(t, nil, with(server, "call", "c1", notify)...)
	device.line(t, device.out, notify)
	if code := p.end(t); code != 1 || !strings.Contains(p.err.String(), "raise --shutdown-timeout") {
		t.Errorf("got exit code %d and %q, want 1 and the cure", code, p.err)
	}
	<-call.done
	if call.code != 3 {
		t.Errorf("got exit code %d and %q, want 3", call.code, call.err)
	}
}

// What a server has besides: health for probes, metrics, and reflection of its own.
func TestServeHas(t *testing.T) {
	p, server := serve(t)
	connect(t, server, "c1")
	run(t, with(server, "call", "c1", notify)...)
	r, err := healthpb.NewHealthClient(dialer(t, server)).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("got %v, %v, want SERVING", r, err)
	}
	_, body := get(t, p.logged(t, "serving")["admin"].(string)+"/metrics")
	for _, want := range []string{"pushtunnel_sessions", "go_goroutines", notify} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
}

// The admin page is on the admin port, under the names that it may have.
func TestAdminPage(t *testing.T) {
	p, server := serve(t, "--admin-host=tunnels.example.com")
	connect(t, server, "c1")
	run(t, with(server, "call", "c1", notify)...)
	admin := p.logged(t, "serving")["admin"].(string)
	if code, body := get(t, admin+"/"); code != http.StatusOK || !strings.Contains(body, "<title>pushtunnel</title>") {
		t.Errorf("got %d and %q, want the page", code, body)
	}
	for host, want := range map[string]int{"tunnels.example.com": http.StatusOK, "other.example.com": http.StatusMisdirectedRequest} {
		for path, want := range map[string]int{"/": want, "/metrics": http.StatusOK, "/healthz": http.StatusOK} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("%s at %s: got %s, want %d", path, host, answer.Status, want)
			}
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin+"/live", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	live, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Body.Close()
	line, err := bufio.NewReader(live.Body).ReadString('\n')
	if err != nil || !strings.Contains(line, `"name":"c1"`) || !strings.Contains(line, notify) || !strings.Contains(line, `"total":2`) {
		t.Errorf("got %q and %v, want the client, with this call and the one for reflection, and the method", line, err)
	}
	if code := p.end(t); code != 0 { // with a page that is open
		t.Errorf("got exit code %d and %q, want 0", code, p.err)
	}
}

func TestNoAdminPage(t *testing.T) {
	p, _ := serve(t, "--admin-page=false")
	admin := p.logged(t, "serving")["admin"].(string)
	if code, body := get(t, admin+"/"); code != http.StatusOK || !strings.Contains(body, "/metrics") || strings.Contains(body, "html") {
		t.Errorf("got %d and %q, want a list of what there is", code, body)
	}
	if code, _ := get(t, admin+"/live"); code != http.StatusNotFound {
		t.Errorf("got %d, want no stream", code)
	}
}

func TestTokens(t *testing.T) {
	_, server := serve(t, "--tokens="+file(t, "tokens.yaml", tokenFile))
	backend, operator := "--token=backend-backend-backend", "--token=operator-operator-operator"
	kitchen := "--token-file=" + file(t, "kitchen", "kitchen-kitchen-kitchen\n")

	for name, c := range map[string]struct {
		args []string
		err  string
	}{
		"no token":         {[]string{"connect", "kitchen"}, "UNAUTHENTICATED"},
		"a wrong token":    {[]string{"connect", "kitchen", "--token=x"}, "the token is unknown"},
		"a caller's token": {[]string{"connect", "kitchen", operator}, "the token is unknown"},
		"another name":     {[]string{"connect", "cellar", kitchen}, `may be called "kitchen"`},
	} {
		if got := run(t, with(server, c.args...)...); got.code != 5 || !strings.Contains(got.err, c.err) {
			t.Errorf("%s: got %+v, want exit code 5 and %q", name, got, c.err)
		}
	}

	connect(t, server, "kitchen", kitchen)
	connect(t, server, "kitchen", kitchen, "--direct", "--namespace=acme")
	for name, c := range map[string]struct {
		args []string
		code int
		out  string // has
	}{
		"a backend":                  {[]string{"call", "kitchen", notify, "-n", "acme", backend}, 0, "kitchen"},
		"a backend, where it is not": {[]string{"call", "kitchen", notify, backend}, 5, ""},
		"an operator, anywhere":      {[]string{"call", "kitchen", notify, "-n", "acme", operator}, 0, "kitchen"},
		"nobody":                     {[]string{"call", "kitchen", notify, "-n", "acme"}, 5, ""},
		"a client":                   {[]string{"call", "kitchen", notify, "-n", "acme", kitchen}, 5, ""},
		"an operator looks":          {[]string{"list", operator}, 0, `"labels":{"floor":"1"}`},
		"a backend does not":         {[]string{"list", backend}, 5, ""},
		"nor does a client":          {[]string{"watch", kitchen}, 5, ""},
	} {
		if got := run(t, with(server, c.args...)...); got.code != c.code || !strings.Contains(got.out, c.out) {
			t.Errorf("%s: got %+v, want exit code %d and %q", name, got, c.code, c.out)
		}
	}
}

// pemFiles writes a certificate and its key.
func pemFiles(t *testing.T, c tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))),
		file(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

func TestCertificates(t *testing.T) {
	authority := certtest.New(t)
	cert, key := pemFiles(t, authority.Issue(t, "127.0.0.1"))
	ca := file(t, "ca.pem", string(authority.PEM()))
	_, server := serve(t, "--tls-cert="+cert, "--tls-key="+key, "--tls-client-ca="+ca, "--caller-certificate=backend.example.com")
	// The authorities of this system do not know the test's.
	if got := run(t, with(server, "list", "--tls")...); got.code != 3 || !strings.Contains(got.err, "certificate") {
		t.Errorf("--tls alone: got %+v, want a server that is not trusted", got)
	}
	server = append(server, "--ca="+ca)
	as := func(name string) []string {
		cert, key := pemFiles(t, authority.Issue(t, name))
		return []string{"--cert=" + cert, "--key=" + key}
	}
	kitchen, backend := as("kitchen"), as("backend.example.com")

	connect(t, server, append([]string{"kitchen", "--direct"}, kitchen...)...)
	connect(t, server, append([]string{"kitchen"}, kitchen...)...)
	for name, c := range map[string]struct {
		args []string
		as   []string
		code int
	}{
		"another name":       {[]string{"connect", "cellar"}, kitchen, 5},
		"a caller":           {[]string{"call", "kitchen", notify}, backend, 0},
		"a caller looks":     {[]string{"list"}, backend, 0},
		"a client calls":     {[]string{"call", "kitchen", notify}, kitchen, 5},
		"a client looks":     {[]string{"list"}, kitchen, 5},
		"without any":        {[]string{"call", "kitchen", notify}, nil, 3},
		"a stranger's TLS":   {[]string{"call", "kitchen", notify, "--server-name=other"}, backend, 3},
		"a token, of no use": {[]string{"call", "kitchen", notify, "--token=x"}, kitchen, 5},
	} {
		if got := run(t, with(server, append(c.args, c.as...)...)...); got.code != c.code {
			t.Errorf("%s: got %+v, want exit code %d", name, got, c.code)
		}
	}
}

// Native clients are believed if they come from where they may.
func TestNativeClients(t *testing.T) {
	authority := certtest.New(t)
	cert, key := pemFiles(t, authority.Issue(t, "127.0.0.1"))
	ca := file(t, "ca.pem", string(authority.PEM()))
	for name, c := range map[string]struct {
		args []string
		look []string
		in   bool
	}{
		"this machine":    {nil, nil, true},
		"with tokens":     {[]string{"--tokens=" + file(t, "tokens.yaml", tokenFile), "--native-allow=127.0.0.0/8"}, nil, true},
		"another network": {[]string{"--native-allow=10.0.0.0/8"}, nil, false},
		"beside TLS":      {[]string{"--tls-cert=" + cert, "--tls-key=" + key}, []string{"--ca=" + ca}, true},
	} {
		for ports, listen := range map[string]string{"one port": "127.0.0.1:0", "two ports": "localhost:0"} {
			t.Run(name+", "+ports, func(t *testing.T) {
				p, server := serve(t, append(c.args, "--native-listen="+listen)...)
				addr := p.logged(t, "serving")["native"].(string)
				if one := "--server="+addr == server[0]; one != (ports == "one port") {
					t.Errorf("native clients connect at %s, others at %s, want %s", addr, server, ports)
				}
				come := make(chan bool, 10)
				device := client.NewDialer(native.Dialer(addr), "gate", client.WithHooks(client.Hooks{
					Connected: func(tunnel.Peer) { come <- true },
					Retry:     func(error, time.Duration) { come <- false },
				}))
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- device.Serve(ctx) }()
				if got := <-come; got != c.in {
					t.Errorf("got in: %v, want %v", got, c.in)
				}
				if c.in {
					got := run(t, with(server, append([]string{"list", "--token=operator-operator-operator"}, c.look...)...)...)
					if !strings.Contains(got.out, `"name":"gate"`) || !strings.Contains(got.out, `"protocol":"native"`) {
						t.Errorf("got %+v, want the native client", got)
					}
				}
				cancel()
				<-ended
			})
		}
	}
}

// One port has gRPC with TLS, native clients without, and gRPC without TLS if that is
// asked for.
func TestOnePort(t *testing.T) {
	authority := certtest.New(t)
	cert, key := pemFiles(t, authority.Issue(t, "127.0.0.1"))
	ca := file(t, "ca.pem", string(authority.PEM()))
	for name, c := range map[string]struct {
		args      []string
		plaintext int // the exit code of a caller without TLS
	}{
		"TLS":                {nil, 3},
		"and gRPC without":   {[]string{"--plaintext=grpc"}, 0},
		"and direct without": {[]string{"--plaintext=direct"}, 3},
		"and both without":   {[]string{"--plaintext=direct", "--plaintext=grpc"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, server := serve(t, append(c.args, "--tls-cert="+cert, "--tls-key="+key, "--tokens="+file(t, "tokens.yaml", tokenFile),
				"--native-listen=127.0.0.1:0", "--native-allow=127.0.0.0/8")...)
			come := make(chan struct{}, 10)
			device := client.NewDialer(native.Dialer(p.logged(t, "serving")["native"].(string)), "gate", client.WithHooks(client.Hooks{
				Connected: func(tunnel.Peer) { come <- struct{}{} },
			}))
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- device.Serve(ctx) }()
			<-come
			look := with(server, "list", "--token=operator-operator-operator")
			if got := run(t, append(look, "--ca="+ca)...); got.code != 0 || !strings.Contains(got.out, `"name":"gate"`) {
				t.Errorf("with TLS: got %+v, want the native client", got)
			}
			if got := run(t, look...); got.code != c.plaintext {
				t.Errorf("without TLS: got %+v, want exit code %d", got, c.plaintext)
			}
			cancel()
			<-ended
		})
	}
}

const lamps = `
syntax = "proto3";
package lamps.v1;
service Lamp { rpc Switch(SwitchRequest) returns (SwitchResponse); }
message SwitchRequest { string state = 1; }
message SwitchResponse { int32 watts = 1; string was = 2; }
`

// A native client is called through the gateway by services that the server has read.
func TestCallOfNativeClient(t *testing.T) {
	proto := file(t, "lamps.proto", lamps)
	p, server := serve(t, "--native-listen=127.0.0.1:0", "--native-proto="+proto)
	addr := p.logged(t, "serving")["native"].(string)
	device := client.NewDialer(native.Dialer(addr), "lamp")
	device.RegisterService(&grpc.ServiceDesc{ServiceName: "lamps.v1.Lamp", Methods: []grpc.MethodDesc{{
		MethodName: "Switch",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			d, err := protoregistry.GlobalFiles.FindDescriptorByName("lamps.v1.Lamp.Switch")
			if err != nil {
				return nil, err
			}
			m := d.(protoreflect.MethodDescriptor)
			in, out := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
			if err := decode(in); err != nil {
				return nil, err
			}
			out.Set(m.Output().Fields().ByName("watts"), protoreflect.ValueOfInt32(7))
			out.Set(m.Output().Fields().ByName("was"), in.Get(m.Input().Fields().ByName("state")))
			return out, nil
		},
	}}}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- device.Serve(ctx) }()
	got := run(t, with(server, "call", "lamp", "lamps.v1.Lamp/Switch", "--proto="+proto, "--wait", "-d", `{"state": "ON"}`)...)
	if want := (result{out: `{"watts":7,"was":"ON"}` + "\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got = run(t, with(server, "call", "lamp", notify)...)
	if got.code != 2 || !strings.Contains(got.err, "use --proto or --protoset") {
		t.Errorf("got %+v, want to be told that it has no reflection", got)
	}
	cancel()
	<-ended
}

// A port that is taken is an error that names the flag.
func TestServePortIsTaken(t *testing.T) {
	_, server := serve(t)
	got := run(t, "serve", "--listen="+strings.TrimPrefix(server[0], "--server="), "--admin-listen=")
	if got.code != 1 || !strings.Contains(got.err, "--listen") {
		t.Errorf("got %+v, want an error of --listen", got)
	}
}
