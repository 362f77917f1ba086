// Bench measures how fast a server can call its connected clients by name, with
// pushtunnel and with what one would use instead, side by side: each in a process
// of its own, in rounds that alternate finely, over TCP on 127.0.0.1.
//
//	go run .                        # the table, in under five minutes
//	go run . -quick                 # in under a minute
//	go run . growth                 # cost as it grows, with charts: see growth.go
//	go run . gateway                # calls through a gateway, and their two parts
//	go run . -case '64 callers' -contender 'plain|push'
//	go run . -case '64 callers, 1 client, 100 B' -contender '^pushtunnel$' -cpuprofile cpu.out
//
// Both ends share the processors, and mostly the process and its collector: trust
// the ratios, not the rates.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"time"
)

func main() {
	played, err := playRole()
	switch args := os.Args[1:]; {
	case played || err != nil:
	case len(args) > 0 && args[0] == "growth":
		err = measureGrowth(args[1:], os.Stdout, os.Stderr)
	case len(args) > 0 && args[0] == "gateway":
		err = measureGateway(args[1:], os.Stdout, os.Stderr)
	default:
		err = measureAll(args, os.Stdout, os.Stderr)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measureAll does what the arguments say. Targets that are missed are no error.
func measureAll(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	quick := flags.Bool("quick", false, "few short rounds, without variants")
	rounds := flags.Int("rounds", 0, "rounds (default 7, or 3 if quick)")
	duration := flags.Duration("sample", 0, "how long each contender is measured in a round (default 320ms, or 100ms if quick)")
	cases := flags.String("case", "", "only cases that match this `regexp`")
	contenders := flags.String("contender", "", "only contenders that match this `regexp`, and plain grpc-go")
	forDocs := flags.Bool("markdown", false, "print the ratios once more, as tables in Markdown")
	live := flags.Int("live", defaultLiveData, "how many `MiB` of other data each process holds")
	cpuFile := flags.String("cpuprofile", "", "take one sample of one case and contender, and write its CPU profile to `file`")
	memFile := flags.String("memprofile", "", "the same for a profile of allocations")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	wantCase, err := regexp.Compile(*cases)
	if err != nil {
		return fmt.Errorf("-case: %w", err)
	}
	wantContender, err := regexp.Compile(*contenders)
	if err != nil {
		return fmt.Errorf("-contender: %w", err)
	}

	p := plan{rounds: 7, slices: 4, sample: 320 * time.Millisecond, retakes: 30 * time.Second, idleClients: 1000, progress: stderr}
	if *quick {
		p.rounds, p.slices, p.sample, p.retakes = 3, 2, 100*time.Millisecond, 2*time.Second
		p.idleClients = 500
	}
	if *rounds > 0 {
		p.rounds = *rounds
	}
	if *duration > 0 {
		p.sample = *duration
	}
	p.workloads = matching(workloads, wantCase, func(w workload) string { return w.name })
	p.entrants = matching(entrants, wantContender, entrant.name)
	if wantCase.MatchString(idleCaseName) {
		p.idleCases = matching(idleCases, wantContender, idleCase.name)
	}
	if *quick {
		p.workloads = slices.DeleteFunc(p.workloads, func(w workload) bool { return w.extra })
		p.entrants = slices.DeleteFunc(p.entrants, func(e entrant) bool { return e.extra })
		p.idleCases = slices.DeleteFunc(p.idleCases, func(c idleCase) bool { return c.extra })
	}
	holdLiveData(*live)
	if *cpuFile != "" || *memFile != "" {
		return profile(stdout, p, *cpuFile, *memFile)
	}
	isReference := func(e entrant) bool { return e.name() == reference.name() }
	if !slices.ContainsFunc(p.entrants, isReference) {
		p.entrants = slices.Insert(p.entrants, 0, reference)
	}
	if len(p.workloads)+len(p.idleCases) == 0 {
		return fmt.Errorf("nothing matches -case %q", *cases)
	}
	r := run(p)
	report(stdout, r)
	if *forDocs {
		fmt.Fprintln(stdout)
		markdown(stdout, r)
	}
	return r.failed()
}
