package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
)

// report prints all of r.
func report(w io.Writer, r *result) {
	if len(r.cases) > 0 {
		caseTable(r).write(w)
		fmt.Fprintln(w)
	}
	if len(r.plan.idleCases) > 0 {
		idleTable(r).write(w)
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, summary(r))
	fmt.Fprintf(w, "%d rounds, in each of which every contender is measured for %v, in %d slices that alternate. × is the median of the per-round\n"+
		"ratios to plain grpc-go, with its range; × NATS is the same to NATS request/reply. A figure is of all rounds together.\n",
		r.plan.rounds, r.plan.sample, r.plan.slices)
	fmt.Fprintln(w, "Latencies are p50 / p99. Costs are per call or per message, both ends together: sys is read and write system calls, CPU × is to plain grpc-go.")
	fmt.Fprintln(w, "Calls have a deadline of a minute except where the case says that they have none. Contenders have a process each, with both their ends.")
	fmt.Fprintf(w, "Each process holds %d MiB besides, so that the collector runs as often as in a server with some data.\n", len(liveData)>>20)
	fmt.Fprintf(w, "%s, GOMAXPROCS %d, %s/%s, 127.0.0.1, %.0f s. Other processes took more than %.0f %% of the machine in %d of %d rounds.\n",
		runtime.Version(), runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH, r.elapsed.Seconds(), tolerated*100, r.disturbed, r.rounds)
}

func caseTable(r *result) table {
	var t table
	t.add("case", "contender", "figure", "×", "min–max", "allocs", "B", "CPU µs", "CPU ×", "sys", "× NATS", "target")
	for _, c := range r.cases {
		t.add()
		title := c.workload.name
		for _, e := range c.entrants {
			t.add(append([]string{title, e.name()}, caseCells(c, e)...)...)
			title = ""
		}
	}
	return t
}

// caseCells are what a row says of an entrant.
func caseCells(c *caseResult, e entrant) []string {
	if len(c.rounds(e)) == 0 {
		return []string{"failed"}
	}
	j, figure := c.workload.job, c.workload.figure
	ratio := c.ratios(e, reference.name(), figure.of)
	costs := []string{"", "", "", "", ""} // beside a stream they would be its costs, too
	if j.Kind != beside {
		costs = []string{
			number(c.median(e, sample.allocs), 1),
			number(c.median(e, sample.bytes), 0),
			number(c.median(e, sample.cpu), 1),
			number(c.ratios(e, reference.name(), func(_ job, s sample) float64 { return s.cpu() }).mid, 2),
			number(c.median(e, sample.syscalls), 2),
		}
	}
	cells := append([]string{
		figure.text(j, c.total(e)), number(ratio.mid, 2), number(ratio.min, 2) + "–" + number(ratio.max, 2),
	}, costs...)
	return append(cells, c.againstNATS(e), c.verdict(e))
}

func idleTable(r *result) table {
	var t table
	t.add("case", "contender", "heap + stacks", "heap", "stacks", "RSS", "goroutines", "target")
	title := idleCaseName
	for i, c := range r.plan.idleCases {
		s := r.idle[i]
		t.add(title, c.name(), kib(s.total()), kib(s.Heap), kib(s.Stack), kib(s.RSS), number(s.Goroutines, 1), idleVerdict(c, s))
		title = fmt.Sprintf("(server side, over %s clients)", number(float64(r.plan.idleClients), 0))
		if i > 0 {
			title = ""
		}
	}
	return t
}

func idleVerdict(c idleCase, s idleSample) string {
	if c.target == 0 || s == (idleSample{}) {
		return ""
	}
	return judge(s.total()/1024, c.target, "KiB", true)
}

// summary says how many targets are met, and lists what is not.
func summary(r *result) string {
	var all, missed []string
	note := func(name, verdict string) {
		if verdict == "" {
			return
		}
		all = append(all, name)
		if strings.Contains(verdict, "MISSED") || strings.Contains(verdict, "BEHIND") {
			missed = append(missed, "  "+name+": "+verdict)
		}
	}
	for _, c := range r.cases {
		for _, e := range c.entrants {
			note(c.workload.name+": "+e.name(), c.verdict(e))
			if against := c.againstNATS(e); against != "" && e.name() != nativeProtocol.name {
				note(c.workload.name+": "+e.name()+": NATS", against)
			}
		}
	}
	for i, c := range r.plan.idleCases {
		note(idleCaseName+": "+c.name(), idleVerdict(c, r.idle[i]))
	}
	text := fmt.Sprintf("%d of %d targets are met, NATS in every row of calls being one.", len(all)-len(missed), len(all))
	if len(missed) > 0 {
		text += " These are not:\n" + strings.Join(missed, "\n")
	}
	return text
}
