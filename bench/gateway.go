package main

import (
	"flag"
	"fmt"
	"io"
	"time"
)

// mostOfGateway is how much the median of a call through a gateway may be, in terms
// of the medians of its two parts together: a push, and a gRPC call to the server.
const mostOfGateway = 1.35

// forwardCall is the first part: its connection is as that of the gateway's caller.
var forwardCall = entrant{contender: plainGRPC, link: link{recommended: true}}

// measureGateway is one run of
//
//	go run . gateway
//
// It compares a call through a gateway with its two parts, and says whether a target
// is missed.
func measureGateway(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench gateway", flag.ContinueOnError)
	flags.SetOutput(stderr)
	p := plan{slices: 8, retakes: 30 * time.Second, progress: stderr}
	flags.IntVar(&p.rounds, "rounds", 7, "rounds")
	flags.DurationVar(&p.sample, "sample", 640*time.Millisecond, "how long each contender is measured in a round")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	holdLiveData(defaultLiveData)
	pairs := []struct{ through, push entrant }{
		{entrant{contender: gatewayTunnel}, entrant{contender: pushTunnel}},
		{entrant{contender: gatewayDirect}, entrant{contender: pushDirect}},
	}
	p.entrants = []entrant{forwardCall}
	for _, pair := range pairs {
		p.entrants = append(p.entrants, pair.push, pair.through)
	}
	for _, w := range workloads {
		if w.figure.name == medianLatency.name {
			p.workloads = append(p.workloads, w)
		}
	}
	r := run(p)
	var t table
	t.add("case", "session", "forward call", "push", "through the gateway", "× of both", "min–max", "target")
	for _, c := range r.cases {
		title := c.workload.name
		for _, pair := range pairs {
			ratio := c.sumRatios(pair.through, forwardCall, pair.push, medianLatency.of)
			t.add(title, pair.push.name(), c.micros(forwardCall), c.micros(pair.push), c.micros(pair.through),
				number(ratio.mid, 2), number(ratio.min, 2)+"–"+number(ratio.max, 2), judge(ratio.mid, mostOfGateway, "×", true))
			title = ""
		}
	}
	t.write(stdout)
	fmt.Fprintf(stdout, "\nMedian latencies. × is the median of %d rounds' ratios to a push and a call to the server together, with its range.\n"+
		"Other processes took more than %.0f %% of the machine in %d of %d rounds.\n", p.rounds, tolerated*100, r.disturbed, r.rounds)
	return r.failed()
}

// micros is an entrant's median latency.
func (c *caseResult) micros(e entrant) string {
	return number(medianLatency.of(c.workload.job, c.total(e)), 1) + " µs"
}

// sumRatios returns the spread of an entrant's ratios to the sum of two others' in
// the same round; all NaN if one of them has failed.
func (c *caseResult) sumRatios(e, a, b entrant, of func(job, sample) float64) spread {
	var ratios []float64
	as, bs := c.rounds(a), c.rounds(b)
	for round, s := range c.rounds(e) {
		if round < len(as) && round < len(bs) {
			ratios = append(ratios, of(c.workload.job, s)/(of(c.workload.job, as[round])+of(c.workload.job, bs[round])))
		}
	}
	return spreadOf(ratios)
}
