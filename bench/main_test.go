package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary play the parts of the processes that
// measureIdle starts.
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

// A whole run, as short as it can be, fills every cell.
func TestRunPrintsATable(t *testing.T) {
	var out strings.Builder
	err := measureAll([]string{"-rounds", "2", "-sample", "20ms", "-case", "1 client,"}, &out, io.Discard)
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

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{
		2:   {3, 1, 2},
		2.5: {4, 1, 2, 3},
		7:   {7},
	} {
		if got := median(values); got != want {
			t.Errorf("median(%v): got %v, want %v", values, got, want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing: got %v, want NaN", got)
	}
}

func TestPercentile(t *testing.T) {
	var sorted []time.Duration
	for i := range 200 {
		sorted = append(sorted, time.Duration(i+1))
	}
	for p, want := range map[int]time.Duration{0: 1, 50: 100, 99: 198, 100: 200} {
		if got := percentile(sorted, p); got != want {
			t.Errorf("percentile %d of 1…200: got %d, want %d", p, got, want)
		}
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("percentile of nothing: got %d, want 0", got)
	}
}

func TestNumber(t *testing.T) {
	for want, got := range map[string]string{
		"0":         number(0, 0),
		"-123":      number(-123, 0),
		"-1,234":    number(-1234, 0),
		"999.50":    number(999.5, 2),
		"1,000.0":   number(1000, 1),
		"1,234,567": number(1234567, 0),
		"–":         number(math.NaN(), 2),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
