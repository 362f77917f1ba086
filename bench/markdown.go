package main

import (
	"fmt"
	"io"
	"strings"
)

// markdown prints the ratios of r as tables for the documentation.
func markdown(w io.Writer, r *result) {
	row := func(cells ...string) { fmt.Fprintln(w, "| "+strings.Join(cells, " | ")+" |") }
	if len(r.cases) > 0 {
		head, line := []string{"case"}, []string{"---"}
		for _, e := range r.plan.entrants {
			head, line = append(head, e.name()), append(line, "---:")
		}
		row(head...)
		row(line...)
		for _, c := range r.cases {
			cells := []string{markdownName(c.workload)}
			for _, e := range r.plan.entrants {
				cells = append(cells, markdownCell(c, e))
			}
			row(cells...)
		}
	}
	if len(r.plan.idleCases) > 0 {
		fmt.Fprintln(w)
		row(idleCaseName, "heap and stacks", "resident", "goroutines")
		row("---", "---:", "---:", "---:")
		for i, c := range r.plan.idleCases {
			s := r.idle[i]
			row(c.name(), kib(s.total()), kib(s.RSS), number(s.Goroutines, 0))
		}
	}
	fmt.Fprintf(w, "\nMedians of %d rounds; least and most in brackets.\n", r.plan.rounds)
}

// markdownCell is the figure of the reference, and the ratio to it of all others.
func markdownCell(c *caseResult, e entrant) string {
	switch {
	case len(c.rounds(e)) == 0:
		return "–"
	case c.workload.target.allocs:
		return number(c.median(e, sample.allocs), 1)
	case e.name() == reference.name():
		return c.workload.figure.text(c.workload.job, c.total(e))
	}
	ratio := c.ratios(e, reference.name(), c.workload.figure.of)
	return fmt.Sprintf("%s (%s–%s)", number(ratio.mid, 2), number(ratio.min, 2), number(ratio.max, 2))
}

// markdownName is a case with what it compares.
func markdownName(w workload) string {
	if w.target.allocs {
		return w.name + ": allocations a call"
	}
	return w.name + ": " + w.figure.name
}
