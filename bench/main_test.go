package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary play the parts of the processes that the
// benchmark starts.
func TestMain(m *testing.M) {
	played, err := playRole()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case !played:
		os.Exit(m.Run())
	}
}

// Each contender reaches each of its clients and gets its own bytes back.
func TestContendersEcho(t *testing.T) {
	for _, c := range contenders {
		for _, l := range c.links {
			t.Run(c.key+l.suffix(), func(t *testing.T) {
				f, err := startFleet(c.contender, l, 3)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := f.close(); err != nil {
						t.Errorf("close: %v", err)
					}
				}()
				for i, name := range f.names {
					for _, size := range []int{0, 1, 100, 16 << 10, 300 << 10} {
						data := slices.Repeat([]byte{byte(i), 'x', byte(size)}, size)[:size]
						ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
						answer, err := f.caller.call(ctx, name, data)
						cancel()
						if err != nil {
							t.Fatalf("%s, %d bytes: %v", name, size, err)
						}
						if !slices.Equal(answer, data) {
							t.Errorf("%s: sent %d bytes, got %d others back", name, size, len(answer))
						}
					}
				}
			})
		}
	}
}

func TestEntrantsHaveNamesOfTheirOwn(t *testing.T) {
	var names []string
	for _, e := range entrants {
		if slices.Contains(names, e.name()) {
			t.Errorf("two entrants are called %q", e.name())
		}
		names = append(names, e.name())
	}
}

// A run of some cases, as short as it can be, fills every cell.
func TestRunPrintsATable(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	var out strings.Builder
	err := measureAll([]string{"-rounds", "2", "-sample", "20ms", "-case", "64 callers, 1 client, 100 B|stream to"}, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entrants {
		if !strings.Contains(out.String(), e.name()+" ") {
			t.Errorf("no row for %q", e.name())
		}
	}
	if strings.Contains(out.String(), " – ") {
		t.Errorf("a cell is empty:\n%s", out.String())
	}
	for _, word := range []string{"≥ 5 × ", "≤ 14 allocs ", "× raw TCP frames ", " targets are met"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("nothing says %q:\n%s", word, out.String())
		}
	}
}

func TestIdleClientsTakeMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, c := range idleCases {
		s, err := measureIdle(c, 100)
		if err != nil {
			t.Errorf("%s: %v", c.name(), err)
			continue
		}
		if kib := s.total() / 1024; kib < 1 || kib > 500 {
			t.Errorf("%s: %.1f KiB a client cannot be right", c.name(), kib)
		}
	}
}

func TestMeasureAllRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-case", "("},
		{"-contender", "("},
		{"-case", "no such case"},
		{"-cpuprofile", "x"},
		{"-nonsense"},
		{"word"},
	} {
		if err := measureAll(args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: got no error", args)
		}
	}
}

// What could not be measured is a dash, and the reference has figures of its own.
func TestMarkdown(t *testing.T) {
	w := workload{name: "calls", job: job{Callers: 1}, figure: callRate}
	measured := []sample{{Ops: 100, Elapsed: time.Second}, {Ops: 300, Elapsed: time.Second}}
	twice := []sample{{Ops: 200, Elapsed: time.Second}, {Ops: 900, Elapsed: time.Second}}
	failed := entrant{contender: natsRequest}
	ours := entrant{contender: pushTunnel}
	r := &result{
		plan: plan{rounds: 2, entrants: []entrant{reference, failed, ours}, idleCases: []idleCase{{contender: pushTunnel}}},
		cases: []*caseResult{{workload: w, entrants: []entrant{reference, failed, ours}, samples: map[string][]sample{
			reference.name(): measured, ours.name(): twice,
		}}},
		idle: []idleSample{{Heap: 2048, Stack: 1024, RSS: 4096, Goroutines: 1}},
	}
	var out strings.Builder
	markdown(&out, r)
	for _, want := range []string{
		"| calls: calls/s | 200 calls/s | – | 2.50 (2.00–3.00) |",
		"| pushtunnel | 3.0 KiB | 4.0 KiB | 1 |",
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("no line %q in:\n%s", want, &out)
		}
	}
}
