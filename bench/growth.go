package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// growth is one run of
//
//	go run . growth                 # a few minutes; writes ../docs/charts
//	go run . growth -part names
//
// It measures what calls cost as things grow, draws it, and says what grows faster
// than it should.
type growth struct {
	sample   time.Duration
	most     int // clients
	started  time.Time
	progress io.Writer
}

// growthParts are what can grow.
var growthParts = []struct {
	name    string
	measure func(*growth) ([]*curve, error)
}{
	{"callers", (*growth).callers},
	{"payload", (*growth).payload},
	{"clients", (*growth).clients},
	{"memory", (*growth).memory},
	{"names", (*growth).names},
}

// grown are the contenders that are measured.
var grown = []contender{plainGRPC, pushTunnel, pushDirect, nativeProtocol}

// measureGrowth does what the arguments say.
func measureGrowth(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench growth", flag.ContinueOnError)
	flags.SetOutput(stderr)
	g := &growth{started: time.Now(), progress: stderr}
	flags.DurationVar(&g.sample, "sample", 750*time.Millisecond, "how long each contender is measured at each point, in all")
	flags.IntVar(&g.most, "clients", 10000, "how many clients and thousandths of names to grow to")
	dir := flags.String("out", filepath.Join("..", "docs", "charts"), "`directory` to write the charts to")
	parts := flags.String("part", "", "only parts that match this `regexp`: callers, payload, clients, memory, names")
	if err := flags.Parse(args); err != nil {
		return err
	}
	want, err := regexp.Compile(*parts)
	if err != nil {
		return fmt.Errorf("-part: %w", err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	raiseOpenFiles()
	holdLiveData(defaultLiveData)
	var curves []*curve
	var errs []error
	for _, part := range growthParts {
		if !want.MatchString(part.name) {
			continue
		}
		measured, err := part.measure(g)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", part.name, err))
		}
		curves = append(curves, measured...)
	}
	curves = slices.DeleteFunc(curves, func(c *curve) bool { return len(c.lines) == 0 })
	fmt.Fprint(g.progress, "\r\033[K")
	if len(curves) == 0 {
		return errors.Join(append(errs, fmt.Errorf("nothing measured for -part %q", *parts))...)
	}
	reportGrowth(stdout, curves)
	fmt.Fprintf(stdout, "%.0f s. Charts and their data are in %s.\n", time.Since(g.started).Seconds(), *dir)
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return err
	}
	for _, c := range curves {
		errs = append(errs, c.draw(*dir), c.writeData(*dir))
	}
	return errors.Join(errs...)
}

func (g *growth) say(format string, args ...any) {
	fmt.Fprintf(g.progress, "\r\033[K%4.0fs  ", time.Since(g.started).Seconds())
	fmt.Fprintf(g.progress, format, args...)
}

// powers returns the powers of base from first to last.
func powers(first, last, base int) (all []int) {
	for n := first; n <= last; n *= base {
		all = append(all, n)
	}
	return all
}
