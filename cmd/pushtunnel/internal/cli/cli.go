// Package cli is the command line of pushtunnel: its grammar, what the commands print,
// and how they exit. What they do is in the packages beside it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// Streams are where a command reads and prints.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// terminal reports whether people read what is written to Out.
func (s Streams) terminal() bool {
	f, ok := s.Out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// grammar is the command line.
type grammar struct {
	Serve      serveCommand      `cmd:"" help:"Run a server that clients connect to."`
	Connect    connectCommand    `cmd:"" help:"Connect as a client, and print what the server calls."`
	Call       callCommand       `cmd:"" help:"Call a client that is connected."`
	List       listCommand       `cmd:"" help:"List who is connected."`
	Watch      watchCommand      `cmd:"" help:"Show who connects and leaves, as it happens."`
	Bench      benchCommand      `cmd:"" help:"Load a server with clients and calls, and tell how fast they are."`
	Completion completionCommand `cmd:"" help:"Print a script that completes commands in a shell."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
	Complete   completeCommand   `cmd:"" hidden:"" help:"What the scripts of completion run."`
}

const description = `Calls clients that no server can dial, by their names.

To try it, in three terminals:

  pushtunnel serve
  pushtunnel connect c1
  pushtunnel call c1 examples.notifier.v1.Notifier/Notify -d '{"text": "Dinner is ready"}'

Flags of serve, and those that say which server is meant, may be in the environment: --listen as
PUSHTUNNEL_LISTEN. docs/CLI.md is the manual.

Exit codes: 0 it worked, 1 the command failed, 2 a mistake in flags or files, 3 nobody to call,
4 too late or cancelled, 5 not allowed, 6 a limit, 7 the client's answer is another error.`

// leave is how kong says that it has printed help.
type leave int

// Run runs a command. It returns the exit code. When ctx ends the command stops in
// order.
func Run(ctx context.Context, args []string, std Streams) (code int) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case leave:
			code = int(v)
		default:
			panic(v)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parser, err := newParser(std)
	if err != nil {
		report(std.Err, err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		err = usage(explain(err))
	} else {
		parsed.BindTo(ctx, (*context.Context)(nil))
		err = parsed.Run(std, parser)
	}
	if err == nil {
		return exitOK
	}
	report(std.Err, err)
	return exitCode(err)
}

// newParser returns the parser of the command line.
func newParser(std Streams) (*kong.Kong, error) {
	return kong.New(&grammar{},
		kong.Name("pushtunnel"), kong.Description(description),
		kong.Writers(std.Out, std.Err), kong.Exit(func(code int) { panic(leave(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, NoAppDescFormat: true, FlagsLast: true, WrapUpperBound: 110}),
		kong.ValueFormatter(func(v *kong.Value) string { return v.Help }), // the environment is told once
		kong.PostBuild(serveEnvironment),
	)
}

// explain adds to an error of the parser where help is.
func explain(err error) error {
	var p *kong.ParseError
	if !errors.As(err, &p) || p.Context == nil {
		return err
	}
	help := "pushtunnel --help"
	if n := p.Context.Selected(); n != nil {
		help = "pushtunnel " + n.Name + " --help"
	}
	return fmt.Errorf("%w (see %s)", err, help)
}
