package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/daemon"
)

type serveCommand struct {
	Config      string `type:"path" placeholder:"FILE" help:"A file of settings, YAML or JSON: its keys are the names of these flags. Flags go before the environment, and that before the file."`
	CheckConfig bool   `help:"Check flags, environment and files, and do not serve."`

	daemon.Settings `embed:""`
}

// Help is what --help adds.
func (serveCommand) Help() string {
	return `Without settings it serves this machine alone, and lets everybody on it connect and push. On SIGTERM or
an interrupt it stops without losing a call.`
}

// serveEnvironment gives each flag of serve a variable: PUSHTUNNEL_ and its name.
func serveEnvironment(k *kong.Kong) error {
	for _, n := range k.Model.Children {
		if n.Name != "serve" {
			continue
		}
		for _, f := range n.Flags {
			if f.Name == "help" || f.Name == "check-config" {
				continue
			}
			f.Envs = []string{"PUSHTUNNEL_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))}
			f.Tag.Envs = f.Envs
		}
	}
	return nil
}

// BeforeResolve reads the file of settings.
func (s *serveCommand) BeforeResolve(k *kong.Context) error {
	path := s.Config // of the environment
	for _, p := range k.Path {
		if p.Flag != nil && p.Flag.Name == "config" {
			path = k.Value(p).String()
		}
	}
	if path == "" {
		return nil
	}
	file, err := readConfig(path, k.Selected().Flags)
	if err != nil {
		return err
	}
	k.AddResolver(file)
	return nil
}

// Run serves.
func (s *serveCommand) Run(ctx context.Context, std Streams) error {
	if err := s.Check(); err != nil {
		return usage(err)
	}
	if err := s.CheckFiles(); err != nil {
		return usage(err)
	}
	if s.CheckConfig {
		fmt.Fprintln(std.Out, "The configuration is good.")
		return nil
	}
	d, err := daemon.Start(ctx, s.Settings, s.Logger(std.Err))
	if err != nil {
		return err
	}
	if err := d.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
