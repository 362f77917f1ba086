package production

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/java"
	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// attackEnv tells a process that it is of attackers.
const attackEnv = "PUSHTUNNEL_ATTACK"

// orders are what attackers are told, as JSON on their standard input. They attack
// until that ends, but not before they have made their connects, and each has tried
// twice.
type orders struct {
	GRPC, Native string // addresses
	Authority    []byte // PEM
	Key          []byte // PEM, of all certificates
	Certificates [][]byte
	Connects     int
	Victims      []string // the names to steal
}

// report is what attackers tell at the end.
type report struct {
	Connects int64
	Attacks  map[string]int64 // how often each kind was tried
	Stolen   []string         // names
}

// TestAttackers is the process of attackers. It does nothing unless another test
// has started it.
func TestAttackers(t *testing.T) {
	if os.Getenv(attackEnv) == "" {
		t.Skip("TestHostileClients starts this in a process of its own")
	}
	var o orders
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a := &army{orders: o, stop: ctx, tries: make([]atomic.Int64, len(attacks))}
	a.pool = x509.NewCertPool()
	a.pool.AppendCertsFromPEM(o.Authority)
	var left sync.WaitGroup
	for i := range o.Certificates {
		left.Go(func() { a.soldier(i).fight() })
	}
	io.Copy(io.Discard, os.Stdin) //nolint:errcheck // it ends when the other test wants
	cancel()
	left.Wait()
	r := report{Connects: a.connects.Load(), Attacks: make(map[string]int64), Stolen: a.stolen}
	for i := range attacks {
		r.Attacks[attacks[i].name] = a.tries[i].Load()
	}
	if err := json.NewEncoder(os.Stderr).Encode(r); err != nil {
		t.Fatal(err)
	}
}

// army is all attackers.
type army struct {
	orders
	stop     context.Context //nolint:containedctx // the process's
	pool     *x509.CertPool
	connects atomic.Int64
	tries    []atomic.Int64

	mu     sync.Mutex
	stolen []string
}

// soldier is one attacker. It has a certificate of its own, for the name
// "mallory-N", and an address of its own.
type soldier struct {
	*army
	n    int
	name string
	tls  *tls.Config
	net  net.Dialer
}

func (a *army) soldier(n int) *soldier {
	s := &soldier{army: a, n: n, name: fmt.Sprint("mallory-", n)}
	s.net.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))}
	s.net.Timeout = 10 * time.Second
	cert, err := tls.X509KeyPair(a.Certificates[n], a.Key)
	if err != nil {
		panic(err)
	}
	s.tls = &tls.Config{RootCAs: a.pool, Certificates: []tls.Certificate{cert}, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}
	return s
}

// attack is a kind of attack. It returns soon after ctx has ended.
type attack struct {
	name string
	do   func(*soldier, context.Context)
}

var attacks = []attack{
	{"connects", (*soldier).connect},
	{"slow handshakes", (*soldier).dawdle},
	{"streams without a hello", (*soldier).sayNothing},
	{"floods of opens", (*soldier).open},
	{"huge native frames", (*soldier).hugeFrame},
	{"huge batches", (*soldier).hugeBatch},
	{"name stealing", (*soldier).steal},
	{"never reading", (*soldier).neverRead},
	{"nonsense", (*soldier).babble},
	{"registrations", (*soldier).register},
}

// fight attacks until it is over, each in its own way. Who connects does so as often
// as is ordered.
func (s *soldier) fight() {
	kind := s.n % len(attacks)
	quota := int64(s.Connects)
	for n := 0; s.stop.Err() == nil || n < 2 || kind == 0 && s.connects.Load() < quota; n++ {
		s.tries[kind].Add(1)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		attacks[kind].do(s, ctx)
		cancel()
	}
}

// rest waits for a short while, so that there are many attackers and not one that
// has the processor.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// dial connects to one of the ports.
func (s *soldier) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := s.net.DialContext(ctx, "tcp", addr)
	if err != nil {
		rest(ctx, 10*time.Millisecond)
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	return conn, nil
}

func (s *soldier) dialTLS(ctx context.Context, addr string, protocols ...string) (*tls.Conn, error) {
	conn, err := s.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	cfg := s.tls.Clone()
	cfg.NextProtos = protocols
	t := tls.Client(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		rest(ctx, 50*time.Millisecond)
		return nil, err
	}
	return t, nil
}

// connect connects and goes, with or without a word, in order or not.
func (s *soldier) connect(ctx context.Context) {
	for range 20 {
		conn, err := s.dial(context.WithoutCancel(ctx), []string{s.GRPC, s.Native}[rand.IntN(2)])
		if err != nil {
			continue
		}
		s.connects.Add(1)
		if rand.IntN(2) == 0 {
			garbage := make([]byte, 1+rand.IntN(100))
			for i := range garbage {
				garbage[i] = byte(rand.IntN(256))
			}
			conn.Write(garbage) //nolint:errcheck // as everything here
		}
		conn.(*net.TCPConn).SetLinger(0) //nolint:errcheck // so that no port is used up
		conn.Close()
	}
	rest(ctx, time.Millisecond)
}

// dawdle sends a handshake a byte at a time.
func (s *soldier) dawdle(ctx context.Context) {
	conn, err := s.dial(ctx, []string{s.GRPC, s.Native}[rand.IntN(2)])
	if err != nil {
		return
	}
	defer conn.Close()
	for _, b := range []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") {
		if _, err := conn.Write([]byte{b}); err != nil {
			return
		}
		rest(ctx, 200*time.Millisecond)
	}
	io.Copy(io.Discard, conn) //nolint:errcheck // until it is closed
}

// grpcConn returns a gRPC connection with the soldier's certificate.
func (s *soldier) grpcConn() *grpc.ClientConn {
	cc, err := grpc.NewClient("passthrough:///"+s.GRPC, grpc.WithTransportCredentials(credentials.NewTLS(s.tls)),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return s.net.DialContext(ctx, "tcp", addr) }))
	if err != nil {
		panic(err)
	}
	return cc
}

// stream opens a session's stream.
func (s *soldier) stream(ctx context.Context, cc *grpc.ClientConn, name string) (grpc.BidiStreamingClient[pb.Batch, pb.Batch], error) {
	stream, err := pb.NewPushTunnelClient(cc).Connect(metadata.NewOutgoingContext(ctx, metadata.Pairs(tunnel.NameKey, name)))
	if err != nil {
		rest(ctx, 10*time.Millisecond)
	}
	return stream, err
}

func hello(h *pb.Hello) *pb.Batch {
	h.Version, h.CallWindow, h.MaxCalls, h.MaxMetadata = 1, 1<<30, 1<<30, 1<<20
	return &pb.Batch{Frames: []*pb.Frame{{Hello: h}}}
}

// sayNothing opens streams that have the right to a session, and leaves it there.
func (s *soldier) sayNothing(ctx context.Context) {
	cc := s.grpcConn()
	defer cc.Close()
	for range 200 {
		if _, err := s.stream(ctx, cc, s.name); err != nil || ctx.Err() != nil {
			break
		}
	}
	<-ctx.Done()
}

// open opens as many sessions as it can, under its own name.
func (s *soldier) open(ctx context.Context) {
	cc := s.grpcConn()
	defer cc.Close()
	for ctx.Err() == nil {
		stream, err := s.stream(ctx, cc, s.name)
		if err != nil {
			return
		}
		stream.Send(hello(&pb.Hello{})) //nolint:errcheck // Recv tells
		if rand.IntN(4) == 0 {
			stream.Recv() //nolint:errcheck // it does not matter
		}
	}
}

// hugeFrame sends the largest native frame that is allowed, or as much of it as the
// server takes.
func (s *soldier) hugeFrame(ctx context.Context) {
	conn, err := s.dialTLS(ctx, s.Native)
	if err != nil {
		return
	}
	defer conn.Close()
	if _, err := conn.Write(nativeHead(native.TypeRequest, 64<<20)); err != nil {
		return
	}
	zeros := make([]byte, 16<<10)
	for sent := 0; sent < 8<<20; sent += len(zeros) {
		if _, err := conn.Write(zeros); err != nil {
			return
		}
	}
	<-ctx.Done()
}

// hugeBatch sends a hello that is none, and much too large.
func (s *soldier) hugeBatch(ctx context.Context) {
	cc := s.grpcConn()
	defer cc.Close()
	stream, err := s.stream(ctx, cc, s.name)
	if err != nil {
		return
	}
	big := &pb.Batch{Frames: []*pb.Frame{{Message: make([]byte, 2<<20)}}}
	stream.Send(big) //nolint:errcheck // Recv tells
	stream.Recv()    //nolint:errcheck // it is refused
	rest(ctx, 100*time.Millisecond)
}

// steal claims the name of somebody else, in each of the ways.
func (s *soldier) steal(ctx context.Context) {
	victim := s.Victims[rand.IntN(len(s.Victims))]
	switch rand.IntN(3) {
	case 0:
		cc := s.grpcConn()
		defer cc.Close()
		stream, err := s.stream(ctx, cc, victim)
		if err != nil {
			return
		}
		stream.Send(hello(&pb.Hello{PreviousSession: "AAAAAAAAAAAAAAAAAAAAAAAAAA", PreviousLost: true})) //nolint:errcheck // Recv tells
		if batch, err := stream.Recv(); err == nil && batch.GetFrames()[0].GetHello() != nil {
			s.stole(victim)
		}
	case 1:
		conn, err := s.dialTLS(ctx, s.GRPC, tunnel.ALPN)
		if err != nil {
			return
		}
		t, err := tunnel.DialDirect(ctx, conn, tunnel.DirectOptions{Name: victim})
		if err != nil {
			return
		}
		if session, err := tunnel.Dial(ctx, t, tunnel.Config{}); err == nil {
			s.stole(victim)
			session.Close(nil)
		}
	default:
		conn, err := s.dialTLS(ctx, s.Native)
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Write(registration(1, victim)) //nolint:errcheck // reading tells
		head := make([]byte, native.BRPC.Size())
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		h, err := native.BRPC.Parse(head)
		if err != nil {
			return
		}
		body := make([]byte, h.Body)
		if _, err := io.ReadFull(conn, body); err == nil && !strings.Contains(string(body), "PermissionDenied") {
			s.stole(victim)
		}
	}
	rest(ctx, 20*time.Millisecond)
}

func (a *army) stole(victim string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stolen = append(a.stolen, victim)
}

// registration is a native registration that wants an answer.
func registration(id int64, name string) []byte {
	params, err := java.AppendArgs(nil, []any{name})
	if err != nil {
		panic(err)
	}
	body := java.Body{Service: "com.baidu.brpc.server.push.RegisterService", Method: "registerClient", Parameters: params}
	encoded := body.Append(nil)
	return append(native.BRPC.Append(nil, native.Head{Type: native.TypeRequest, CorrelationID: id, Body: len(encoded)}), encoded...)
}

// neverRead has a session, and does not read what comes on it, while it asks for
// answers.
func (s *soldier) neverRead(ctx context.Context) {
	if s.n%2 == 0 {
		conn, err := s.dialTLS(ctx, s.GRPC, tunnel.ALPN)
		if err != nil {
			return
		}
		defer conn.Close()
		t, err := tunnel.DialDirect(ctx, conn, tunnel.DirectOptions{Name: s.name})
		if err != nil {
			return
		}
		session, err := tunnel.Dial(ctx, &deafTransport{Transport: t, ctx: ctx}, tunnel.Config{})
		if err == nil {
			<-ctx.Done()
			session.Close(nil)
		}
		return
	}
	cc := s.grpcConn()
	defer cc.Close()
	stream, err := s.stream(ctx, cc, s.name)
	if err != nil {
		return
	}
	stream.Send(hello(&pb.Hello{})) //nolint:errcheck // the next tells
	if _, err := stream.Recv(); err != nil {
		rest(ctx, 100*time.Millisecond)
		return
	}
	for i := range uint64(1 << 20) {
		if stream.Send(&pb.Batch{Frames: []*pb.Frame{{Ping: i + 1}}}) != nil {
			return
		}
		if i > 15 {
			rest(ctx, 100*time.Millisecond)
		}
	}
}

// deafTransport reads the hello, and nothing more.
type deafTransport struct {
	tunnel.Transport
	ctx  context.Context //nolint:containedctx // the attack's
	once sync.Once
}

func (t *deafTransport) Recv() (mem.Buffer, error) {
	heard := false
	t.once.Do(func() { heard = true })
	if heard {
		return t.Transport.Recv()
	}
	<-t.ctx.Done()
	return nil, io.EOF
}

// babble breaks the protocol in its session.
func (s *soldier) babble(ctx context.Context) {
	cc := s.grpcConn()
	defer cc.Close()
	stream, err := s.stream(ctx, cc, s.name)
	if err != nil {
		return
	}
	stream.Send(hello(&pb.Hello{})) //nolint:errcheck // the next tells
	if _, err := stream.Recv(); err != nil {
		rest(ctx, 100*time.Millisecond)
		return
	}
	for i := range uint64(100) {
		frames := []*pb.Frame{{CallId: 2*i + 2, Begin: &pb.Begin{Method: "/a.B/C"}, Message: []byte("x"), HalfClose: true}}
		switch rand.IntN(20) {
		case 0:
			frames = append(frames, &pb.Frame{CallId: 1 << 40, Cancel: true})
		case 1:
			frames = append(frames, &pb.Frame{CallId: 1, Window: 1 << 62})
		}
		if stream.Send(&pb.Batch{Frames: frames}) != nil {
			return
		}
	}
	stream.Recv() //nolint:errcheck // the end, or an answer
}

// register registers on one native connection under one name after the other, and
// calls what is not there.
func (s *soldier) register(ctx context.Context) {
	conn, err := s.dialTLS(ctx, s.Native)
	if err != nil {
		return
	}
	defer conn.Close()
	go io.Copy(io.Discard, conn) //nolint:errcheck // until it is closed
	for i := range int64(200) {
		name := s.name
		if i%7 == 6 {
			name = s.Victims[rand.IntN(len(s.Victims))]
		}
		if _, err := conn.Write(registration(i, name)); err != nil {
			break
		}
		conn.Write(nativeHead(native.TypeRequest, 0)) //nolint:errcheck // the next tells
	}
	rest(ctx, 100*time.Millisecond)
}

// pemOf returns the certificates and the key of an attacker's certificate.
func pemOf(cert tls.Certificate) (certs, key []byte) {
	for _, der := range cert.Certificate {
		certs = append(certs, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		panic(err)
	}
	return certs, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
