package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"
)

// A table is rows of cells; the first two columns are flush left. An empty row
// becomes an empty line.
type table [][]string

func (t *table) add(cells ...string) { *t = append(*t, cells) }

// write prints t with columns as wide as they need to be.
func (t table) write(w io.Writer) {
	var widths []int
	for _, row := range t {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < 2 {
				line.WriteString(cell + pad + "  ")
			} else {
				line.WriteString(pad + cell + "  ")
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// report prints all of r.
func report(w io.Writer, r *result) {
	if len(r.plan.workloads) > 0 {
		workloadTable(r).write(w)
		fmt.Fprintln(w)
	}
	if len(r.plan.idleCases) > 0 {
		idleTable(r).write(w)
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "Medians of %d rounds of %v each; × is the median of the per-round ratios to plain grpc-go, with its range.\n",
		r.plan.rounds, r.plan.sample)
	fmt.Fprintln(w, "Latencies are p50 / p99. allocs, B, CPU and sys(tem calls: read and write) are per call, both ends together.")
	fmt.Fprintf(w, "The process holds %d MiB besides, so that the collector runs as often as in a server with some data.\n", len(liveData)>>20)
	fmt.Fprintf(w, "%s, GOMAXPROCS %d, %s/%s, 127.0.0.1, %.0f s. Other processes took more than %.0f %% of the machine in %d of %d samples.\n",
		runtime.Version(), runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH, r.elapsed.Seconds(), tolerated*100, r.disturbed, r.samples)
}

func workloadTable(r *result) table {
	var t table
	t.add("case", "contender", "figure", "×", "min–max", "allocs", "B", "CPU µs", "sys", "target")
	for _, w := range r.plan.workloads {
		t.add()
		title := w.name
		for _, e := range r.plan.entrants {
			s := r.series[w.name][e.name()]
			ratio := r.ratios(w, e)
			var target string
			if e.contender.name == pushTunnel.name && e.timeout == 0 && w.target > 0 {
				target = judge(ratio.mid, w.target, "×", w.latency)
			}
			t.add(title, e.name(), figureText(w, s), number(ratio.mid, 2),
				number(ratio.min, 2)+"–"+number(ratio.max, 2),
				number(s.median(func(s sample) float64 { return s.allocs }), 1),
				number(s.median(func(s sample) float64 { return s.bytes }), 0),
				number(s.median(func(s sample) float64 { return micros(s.cpu) }), 1),
				number(s.median(func(s sample) float64 { return s.syscalls }), 2),
				target)
			title = ""
		}
	}
	return t
}

// figureText is the figure that the case is about, in its unit.
func figureText(w workload, s series) string {
	if w.latency {
		p50 := s.median(func(s sample) float64 { return micros(s.p50) })
		p99 := s.median(func(s sample) float64 { return micros(s.p99) })
		return number(p50, 0) + " / " + number(p99, 0) + " µs"
	}
	return number(s.median(func(s sample) float64 { return s.callsPerSecond }), 0) + " calls/s"
}

func idleTable(r *result) table {
	var t table
	t.add("case", "contender", "heap + stacks", "heap", "stacks", "RSS", "goroutines", "target")
	title := idleCaseName
	for i, c := range r.plan.idleCases {
		s := r.idle[i]
		var target string
		if c.target > 0 {
			target = judge(max(s.total(), s.RSS)/1024, c.target, "KiB", true)
		}
		t.add(title, c.name(), kib(s.total()), kib(s.Heap), kib(s.Stack), kib(s.RSS), number(s.Goroutines, 1), target)
		title = fmt.Sprintf("(server side, over %s clients)", number(float64(r.plan.idleClients), 0))
		if i > 0 {
			title = ""
		}
	}
	return t
}

// judge says what the target is and whether value reaches it.
func judge(value, target float64, unit string, less bool) string {
	sign, met := "≥", value >= target
	if less {
		sign, met = "≤", value <= target
	}
	return fmt.Sprintf("%s %v %s %s", sign, target, unit, map[bool]string{true: "met", false: "MISSED"}[met])
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func kib(bytes float64) string { return number(bytes/1024, 1) + " KiB" }

// number formats v with so many decimals and commas between thousands; "–" is
// for what was not measured.
func number(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	s := fmt.Sprintf("%.*f", decimals, v)
	whole, fraction, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return whole
}
