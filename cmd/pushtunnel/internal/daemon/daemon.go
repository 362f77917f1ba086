package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/pushtunnel/pushtunnel/admin"
	"github.com/pushtunnel/pushtunnel/admin/page"
	"github.com/pushtunnel/pushtunnel/certs"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/metrics"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/dynamic"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Daemon is a server that listens. Run serves; a Daemon that is not run must be
// closed.
type Daemon struct {
	settings Settings
	logger   *slog.Logger
	files    *files
	push     *server.Server
	grpc     *grpc.Server
	health   *health.Server
	admin    *http.Server
	page     *page.Page // nil: none
	draining atomic.Bool

	listener, adminListener, nativeListener net.Listener // the last two may be nil
}

// files are what the settings name.
type files struct {
	tokens *tokens        // nil: none
	certs  *certs.Watcher // nil: no TLS
	pushes []*grpc.ServiceDesc
}

// read reads the files that the settings name.
func (s *Settings) read(logger *slog.Logger) (f *files, err error) {
	f = &files{}
	if f.pushes, err = s.pushes(); err != nil {
		return nil, err
	}
	if s.Tokens != "" {
		if f.tokens, err = readTokens(s.Tokens); err != nil {
			return nil, err
		}
	}
	if s.TLSCert != "" {
		f.certs, err = certs.Watch(certs.Files{Certificate: s.TLSCert, Key: s.TLSKey, Authorities: s.TLSClientCA}, certs.WithLogger(logger))
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *files) close() {
	if f.certs != nil {
		f.certs.Close()
	}
}

// tls returns the configuration of the server's port, nil without TLS.
func (f *files) tls() *tls.Config {
	switch {
	case f.certs == nil:
		return nil
	case f.tokens != nil:
		return f.certs.Server(certs.WithOptionalClientCertificates()) // a token will do
	}
	return f.certs.Server()
}

// CheckFiles reports what is wrong with the files that the settings name.
func (s *Settings) CheckFiles() error {
	f, err := s.read(slog.New(slog.DiscardHandler))
	if err == nil {
		f.close()
	}
	return err
}

// Start checks the settings, reads the files and listens.
func Start(ctx context.Context, s Settings, logger *slog.Logger) (*Daemon, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	d := &Daemon{settings: s, logger: logger}
	if err := d.start(ctx); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Daemon) start(ctx context.Context) (err error) {
	s := &d.settings
	if d.files, err = s.read(d.logger); err != nil {
		return err
	}
	for _, l := range []struct {
		addr, flag string
		to         *net.Listener
	}{{s.Listen, "listen", &d.listener}, {s.AdminListen, "admin-listen", &d.adminListener}, {s.NativeListen, "native-listen", &d.nativeListener}} {
		if l.addr == "" || l.to == &d.nativeListener && s.onePort() {
			continue
		}
		if *l.to, err = new(net.ListenConfig).Listen(ctx, "tcp", l.addr); err != nil {
			return fmt.Errorf("pushtunnel: --%s: %w", l.flag, err)
		}
	}
	return d.assemble()
}

// assemble makes the servers.
func (d *Daemon) assemble() error {
	s := &d.settings
	a := &access{
		tokens: d.files.tokens, certificates: s.TLSClientCA != "", callers: s.CallerCertificate,
		anonymous: !s.proves(), native: len(s.NativeAllow) > 0,
	}
	opts, err := s.pushOptions(d.logger)
	if err != nil {
		return err
	}
	m := metrics.New()
	all := []server.Option{opts, m.Option(), server.WithIdentity(a.identify)}
	if s.AdminPage && d.adminListener != nil {
		d.page = s.newPage(m)
		all = append(all, d.page.Option())
	}
	d.push = server.New(all...)
	toClients := gateway.New(d.push, func(ctx context.Context, r gateway.Request) error { return a.mayPush(ctx, r.Namespace) })
	d.grpc = grpc.NewServer(slices.Concat(s.grpcOptions(), []grpc.ServerOption{d.push.OnePort(d.port())}, toClients.ServerOptions())...)
	d.push.Register(d.grpc)
	admin.Register(d.grpc, d.push, a.mayLook)
	d.health = health.NewServer()
	healthpb.RegisterHealthServer(d.grpc, d.health)
	if s.NativeListen != "" {
		dynamic.Register(toClients.Services(d.grpc), toClients.Conn())
	}
	reflection.Register(d.grpc)

	registry := prometheus.NewRegistry()
	registry.MustRegister(m, prometheus.NewGoCollector(), prometheus.NewProcessCollector(prometheus.ProcessCollectorOpts{})) //nolint:staticcheck // the collectors package has the same
	d.admin = &http.Server{
		Handler: adminPages(registry, func() bool { return !d.draining.Load() }, d.page), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(d.logger.Handler(), slog.LevelDebug),
	}
	return nil
}

// Addr returns where clients and callers connect, AdminAddr and NativeAddr where the
// others do: nil if nobody listens there.
func (d *Daemon) Addr() net.Addr { return addr(d.listener) }

// AdminAddr returns where metrics and health are.
func (d *Daemon) AdminAddr() net.Addr { return addr(d.adminListener) }

// NativeAddr returns where native clients connect.
func (d *Daemon) NativeAddr() net.Addr {
	if d.settings.onePort() {
		return d.Addr()
	}
	return addr(d.nativeListener)
}

func addr(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Close frees what Start has taken. After Run there is no need.
func (d *Daemon) Close() {
	for _, l := range []net.Listener{d.listener, d.adminListener, d.nativeListener} {
		if l != nil {
			_ = l.Close()
		}
	}
	if d.files != nil {
		d.files.close()
	}
}

// Run serves until ctx ends, and then stops without loss: it says that it is not
// ready, goes on for DrainDelay, lets the calls to clients end and parts from them,
// and then stops the gRPC server; all within ShutdownTimeout. It returns nil then,
// and an error if a listener fails, or some calls had to be cut off.
func (d *Daemon) Run(ctx context.Context) error {
	defer d.Close()
	failed := make(chan error, 3)
	running := 0
	serve := func(f func() error) {
		running++
		go func() { failed <- f() }()
	}
	serve(func() error {
		if err := d.grpc.Serve(d.listener); !errors.Is(err, grpc.ErrServerStopped) { // it was stopped before it began
			return err
		}
		return nil
	})
	if d.adminListener != nil {
		serve(func() error {
			if err := d.admin.Serve(d.adminListener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	if d.nativeListener != nil {
		serve(func() error {
			return d.push.Serve(d.native(), d.nativeProtocol())
		})
	}
	d.announce()
	d.notify(stateReady)

	var err error
	select {
	case <-ctx.Done():
		err = d.drain()
	case err = <-failed:
		running--
	}
	_ = d.push.Close()
	d.grpc.Stop()
	_ = d.admin.Close()
	if d.page != nil {
		d.page.Close()
	}
	for range running {
		err = errors.Join(err, <-failed)
	}
	return err
}

// drain stops without loss, as far as there is time.
func (d *Daemon) drain() error {
	d.logger.Info("stopping", "within", d.settings.DrainDelay+d.settings.ShutdownTimeout)
	d.draining.Store(true)
	d.notify(stateStopping)
	d.health.Shutdown()
	delay := time.NewTimer(d.settings.DrainDelay)
	<-delay.C
	ctx, cancel := context.WithTimeout(context.Background(), d.settings.ShutdownTimeout)
	defer cancel()
	if err := d.push.GracefulStop(ctx, d.grpc); err != nil {
		return fmt.Errorf("pushtunnel: some calls were cut off after %v: raise --shutdown-timeout", d.settings.ShutdownTimeout)
	}
	d.logger.Info("stopped")
	return nil
}

// port is what comes in where clients and callers connect.
func (d *Daemon) port() server.Port {
	s := &d.settings
	p := server.Port{TLS: d.files.tls(), Plaintext: s.Plaintext}
	if !s.onePort() {
		return p
	}
	one := d.nativeProtocol()
	if len(s.NativeAllow) > 0 {
		one = d.push.AllowProtocol(one, s.NativeAllow...)
	}
	if p.TLS != nil && !s.nativeTLS() {
		p.Plaintext = append(slices.Clone(p.Plaintext), one.Name())
	}
	p.Protocols = []tunnel.Protocol{one}
	return p
}

func (d *Daemon) nativeProtocol() tunnel.Protocol {
	return native.Protocol(d.settings.nativeOptions(d.logger, d.files.pushes)...)
}

// native returns the listener of native clients: of those that are believed for their
// addresses, which speak no TLS, or of those that show certificates.
func (d *Daemon) native() net.Listener {
	switch l := d.nativeListener; {
	case len(d.settings.NativeAllow) > 0:
		return d.push.AllowAddresses(l, d.settings.NativeAllow...)
	case d.settings.nativeTLS():
		return tls.NewListener(l, d.files.certs.Server())
	default:
		return l
	}
}

// announce says what is to be had where.
func (d *Daemon) announce() {
	attrs := []any{"addr", d.Addr().String(), "tls", d.files.certs != nil}
	if a := d.AdminAddr(); a != nil {
		attrs = append(attrs, "admin", "http://"+a.String())
	}
	if a := d.NativeAddr(); a != nil {
		attrs = append(attrs, "native", a.String())
	}
	d.logger.Info("serving", attrs...)
	switch {
	case !d.settings.proves():
		d.logger.Info("everybody on this machine may connect and push: set --tokens or --tls-client-ca before others can")
	case d.settings.Tokens != "" && d.files.certs == nil && !local(d.settings.Listen):
		d.logger.Warn("tokens come without TLS: set --tls-cert and --tls-key, or let a proxy do it")
	case d.settings.Tokens != "" && len(d.settings.Plaintext) > 0:
		d.logger.Warn("tokens may come without TLS: leave --plaintext out when all clients speak TLS")
	}
	if d.page != nil && !local(d.settings.AdminListen) {
		d.logger.Warn("whoever reaches the admin port sees who is connected: keep it to operators, or set --admin-page=false")
	}
}
