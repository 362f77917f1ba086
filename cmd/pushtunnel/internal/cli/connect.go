package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/device"
	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/schema"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

type connectCommand struct {
	Name string `arg:"" help:"The name under which the server finds this client."`

	Namespace string            `short:"n" env:"PUSHTUNNEL_NAMESPACE" help:"The namespace that the client asks for."`
	Label     map[string]string `short:"l" placeholder:"KEY=VALUE" help:"A label that the client says it has. May be repeated."`
	Direct    bool              `help:"Use the direct transport, if the server has it."`
	JSON      bool              `help:"Print JSON, as it does when nobody looks at a terminal."`

	schema.Files `embed:"" group:"What it serves"`
	Answer       []string      `sep:"none" placeholder:"[METHOD=]JSON" help:"What calls are answered with, a template: see docs/CLI.md. @FILE reads it from a file. May be repeated." group:"What it serves"`
	Exec         string        `placeholder:"COMMAND" help:"A shell command that answers calls: it reads the request and writes the answer, JSON." group:"What it serves"`
	Fail         string        `placeholder:"CODE[:TEXT]" help:"What calls fail with, as NOT_FOUND:\"no such thing\"." group:"What it serves"`
	Delay        time.Duration `help:"How long calls wait for their answers." group:"What it serves"`

	target `embed:""`
}

// Help is what --help adds.
func (connectCommand) Help() string {
	return `Told nothing else it serves the displays of the quick start, examples.notifier.v1.Notifier, with reflection, and
answers all other methods with an empty message. It connects again by itself.`
}

// Run serves calls until ctx ends, and then leaves in order.
func (c *connectCommand) Run(ctx context.Context, std Streams) error {
	p := &eventPrinter{out: std.Out, json: c.JSON || !std.terminal()}
	d, err := c.device()
	if err != nil {
		return usage(err)
	}
	d.Events = p.event

	tlsConfig, stop, err := c.tls()
	if err != nil {
		return err
	}
	defer stop()
	cc, err := c.dial(tlsConfig)
	if err != nil {
		return err
	}
	defer cc.Close()
	token, err := c.bearer()
	if err != nil {
		return err
	}
	opts := []client.Option{
		client.WithNamespace(c.Namespace), client.WithLabels(c.Label), client.WithUnknownServiceHandler(d.Handle),
		client.WithHooks(notices(std, c.Server)), client.WithConnectTimeout(noticeAfter),
	}
	if token != nil {
		opts = append(opts, client.WithCallOptions(grpc.PerRPCCredentials(token)))
	}
	if c.Direct {
		opts = append(opts, client.WithDirect(c.Server, tlsConfig))
	}
	fmt.Fprintf(std.Err, "connecting to %s\n", c.Server)
	cl := client.New(cc, c.Name, opts...)
	d.Register(cl)
	return serveUntil(ctx, cl)
}

// noticeAfter is how long the client tries to connect before it says why it can't.
const noticeAfter = 5 * time.Second

// leaving is how long calls may take to end when the client is asked to stop.
const leaving = 10 * time.Second

// serveUntil serves until ctx ends and then parts without losing a call.
func serveUntil(ctx context.Context, cl *client.Client) error {
	ended := make(chan error, 1)
	go func() { ended <- cl.Serve(context.WithoutCancel(ctx)) }()
	select {
	case err := <-ended:
		return asCall(err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
	defer cancel()
	err := cl.Shutdown(patience)
	if served := <-ended; err == nil && served != nil {
		err = asCall(served)
	}
	return err
}

// notices tells what becomes of the connection.
func notices(std Streams, server string) client.Hooks {
	return client.Hooks{
		Connected: func(p tunnel.Peer) { fmt.Fprintf(std.Err, "connected to %s\n", server) },
		Disconnected: func(_ tunnel.Peer, err error) {
			if err != nil {
				fmt.Fprintf(std.Err, "disconnected: %s\n", printable(err.Error()))
			}
		},
		Retry: func(err error, after time.Duration) {
			fmt.Fprintf(std.Err, "not connected: %v; trying again in %v\n", printable(status.Convert(err).Message()), after.Round(time.Millisecond))
		},
	}
}

// device returns what answers calls.
func (c *connectCommand) device() (d *device.Device, err error) {
	d = &device.Device{Name: c.Name, Delay: c.Delay}
	demo, answers, err := device.Demo()
	if err != nil {
		return nil, err
	}
	d.Schema, d.Answers = demo, answers
	if c.Given() {
		if d.Schema, err = c.Read(); err != nil {
			return nil, err
		}
		d.Answers = device.Empty{}
	}
	switch {
	case c.Exec != "" && len(c.Answer) > 0:
		return nil, errors.New("--answer and --exec do not go together")
	case c.Exec != "":
		d.Answers = device.Command(c.Exec)
	case len(c.Answer) > 0:
		if d.Answers, err = device.ParseTemplates(c.Answer); err != nil {
			return nil, err
		}
	}
	d.Fail, err = parseFail(c.Fail)
	return d, err
}

// parseFail reads "CODE" or "CODE:TEXT".
func parseFail(text string) (error, error) {
	if text == "" {
		return nil, nil
	}
	name, message, _ := strings.Cut(text, ":")
	for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
		if codeName(c) == strings.ToUpper(name) {
			return status.Error(c, message), nil
		}
	}
	return nil, fmt.Errorf("--fail=%q: %q is no code of gRPC: write NOT_FOUND, or NOT_FOUND:text", text, name)
}

// labels prints labels, in order.
func labels(all map[string]string) string {
	pairs := make([]string, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		pairs = append(pairs, k+"="+all[k])
	}
	return strings.Join(pairs, ",")
}
