package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	adminpb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
)

// filter chooses sessions.
type filter struct {
	Name      string  `arg:"" optional:"" help:"The clients' name. Default: any."`
	Namespace *string `short:"n" help:"The clients' namespace; empty for the default one. Default: all."`
	Selector  string  `short:"l" placeholder:"SELECTOR" help:"What their labels must meet, as zone=eu,!beta."`
	Protocol  string  `enum:"grpc,direct,native," default:"" help:"How they are connected: grpc, direct or native. Default: any."`
	JSON      bool    `help:"Print JSON, an object on a line, as it does when nobody looks at a terminal."`

	target `embed:""`
}

func (f *filter) message() *adminpb.Filter {
	return &adminpb.Filter{Namespace: f.Namespace, Name: f.Name, Labels: f.Selector, Protocol: f.Protocol}
}

type listCommand struct {
	filter `embed:""`
}

// Run lists the sessions.
func (l *listCommand) Run(ctx context.Context, std Streams) error {
	cc, stop, err := l.caller()
	if err != nil {
		return err
	}
	defer stop()
	var show sessionPrinter = &tablePrinter{out: std.Out, now: time.Now}
	if l.JSON || !std.terminal() {
		show = &linePrinter{out: std.Out}
	}
	request := &adminpb.ListSessionsRequest{Filter: l.message(), PageSize: 1000}
	for {
		page, err := adminpb.NewAdminClient(cc).ListSessions(ctx, request)
		if err != nil {
			return asCall(err)
		}
		for _, s := range page.GetSessions() {
			if err := show.session(s); err != nil {
				return err
			}
		}
		if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
			return show.end()
		}
	}
}

// sessionPrinter prints sessions.
type sessionPrinter interface {
	session(s *adminpb.Session) error
	end() error
}

// linePrinter prints JSON lines.
type linePrinter struct{ out io.Writer }

func (p *linePrinter) session(s *adminpb.Session) error {
	data, err := jsonLine(s)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "%s\n", data)
	return err
}

func (p *linePrinter) end() error { return nil }

// tablePrinter prints a table.
type tablePrinter struct {
	out   io.Writer
	now   func() time.Time
	table *tabwriter.Writer
	lines int
}

func (p *tablePrinter) session(s *adminpb.Session) error {
	if p.table == nil {
		p.table = tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(p.table, "NAME\tNAMESPACE\tPROTOCOL\tADDRESS\tFOR\tCALLS\tROUND TRIP\tSUBJECT\tLABELS\tSESSION")
	}
	p.lines++
	trip := "-"
	if s.GetRoundTrip() != nil {
		trip = rounded(s.GetRoundTrip().AsDuration())
	}
	_, err := fmt.Fprintf(p.table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n",
		printable(s.GetName()), orDash(printable(s.GetNamespace())), s.GetProtocol(), orDash(s.GetAddress()),
		rounded(p.now().Sub(s.GetSince().AsTime())), s.GetInFlight(), trip, orDash(printable(s.GetSubject())), orDash(printable(labels(s.GetLabels()))), s.GetId())
	return err
}

func (p *tablePrinter) end() error {
	if p.table == nil {
		_, err := fmt.Fprintln(p.out, "Nobody is connected.")
		return err
	}
	return p.table.Flush()
}
