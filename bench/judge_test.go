package main

import (
	"strings"
	"testing"
	"time"
)

// made is a result of two rounds: the rates of each entrant.
func made(w workload, rates map[string][2]int) *caseResult {
	c := &caseResult{workload: w, entrants: entrants, samples: make(map[string][]sample)}
	for name, pair := range rates {
		for _, rate := range pair {
			c.samples[name] = append(c.samples[name], sample{
				Ops: rate, Elapsed: time.Second, Latencies: []time.Duration{time.Second / time.Duration(rate)},
				Costs: costs{Mallocs: uint64(13 * rate)},
			})
		}
	}
	return c
}

func named(t *testing.T, name string) entrant {
	t.Helper()
	for _, e := range entrants {
		if e.name() == name {
			return e
		}
	}
	t.Fatalf("no entrant %q", name)
	return entrant{}
}

// A row is judged by the median of the per-round ratios, in its own direction.
func TestVerdict(t *testing.T) {
	rates := map[string][2]int{
		plainGRPC.name: {100, 200}, natsRequest.name: {250, 500}, rawFrames.name: {1000, 2000},
		pushTunnel.name: {500, 980}, pushDirect.name: {620, 1240}, nativeProtocol.name: {410, 820},
	}
	for _, tt := range []struct {
		name, entrant, want, nats string
		figure                    figure
		target                    target
	}{
		{"less than the target", pushTunnel.name, "≥ 5 × MISSED: 4.95", "1.98 ahead", callRate, target{stream: 5}},
		{"more than the target", pushDirect.name, "≥ 6 × met", "2.48 ahead", callRate, target{direct: 6}},
		{"native is compared with raw frames", nativeProtocol.name, "≥ 0.4 × raw TCP frames met", "1.64 ahead", callRate, target{native: 0.4}},
		{"of latencies, less is better", pushTunnel.name, "≤ 0.21 × met", "0.51 ahead", medianLatency, target{stream: 0.21}},
		{"allocations are no ratio", pushTunnel.name, "≤ 12 allocs MISSED: 13.00", "1.98 ahead", callRate, target{stream: 12, allocs: true}},
		{"without a target", pushTunnel.name, "", "1.98 ahead", callRate, target{}},
		{"others have none", natsRequest.name, "", "", callRate, target{stream: 5, direct: 6}},
	} {
		c := made(workload{figure: tt.figure, target: tt.target}, rates)
		if got := c.verdict(named(t, tt.entrant)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if got := c.againstNATS(named(t, tt.entrant)); got != tt.nats {
			t.Errorf("%s, against NATS: got %q, want %q", tt.name, got, tt.nats)
		}
	}
}

// What failed is not judged, nor what it would be compared with.
func TestVerdictOfFailures(t *testing.T) {
	w := workload{figure: callRate, target: target{stream: 5, direct: 6, native: 0.4}}
	c := made(w, map[string][2]int{plainGRPC.name: {1, 1}, nativeProtocol.name: {1, 1}, pushDirect.name: {1, 1}})
	for _, name := range []string{pushTunnel.name, nativeProtocol.name} {
		if got := c.verdict(named(t, name)); got != "" {
			t.Errorf("%s: got %q, want nothing", name, got)
		}
	}
	if got := c.againstNATS(named(t, pushDirect.name)); got != "" {
		t.Errorf("against NATS: got %q, want nothing", got)
	}
}

func TestSummaryListsWhatIsMissed(t *testing.T) {
	w := workload{name: "a case", figure: callRate, target: target{stream: 5, direct: 2}}
	c := made(w, map[string][2]int{plainGRPC.name: {1, 1}, natsRequest.name: {4, 4}, pushTunnel.name: {3, 3}, pushDirect.name: {6, 6}})
	got := summary(&result{cases: []*caseResult{c}})
	for _, want := range []string{
		"2 of 4 targets are met",
		"a case: pushtunnel: ≥ 5 × MISSED: 3.00",
		"a case: pushtunnel: NATS: 0.75 BEHIND",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

func TestSpread(t *testing.T) {
	c := made(workload{figure: callRate}, map[string][2]int{plainGRPC.name: {10, 20}, pushTunnel.name: {30, 100}})
	want := spread{mid: 4, min: 3, max: 5}
	if got := c.ratios(named(t, pushTunnel.name), plainGRPC.name, callRate.of); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
