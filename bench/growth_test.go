package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPowers(t *testing.T) {
	if got, want := powers(1, 1024, 4), []int{1, 4, 16, 64, 256, 1024}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := powers(100, 10, 10); got != nil {
		t.Errorf("got %v, want none", got)
	}
}

// A small run measures and draws every curve, with a point of each contender at
// least. Payloads are left out: with the race detector the large ones take a minute,
// and they are measured as callers are.
func TestGrowthDrawsCharts(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	var out strings.Builder
	args := []string{"-clients", "100", "-sample", "20ms", "-part", "callers|clients|memory|names", "-out", dir}
	if err := measureGrowth(args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"callers-rate", "callers-p99", "clients-rate", "clients-p99", "storm", "fanout", "memory",
	} {
		data := readChart(t, dir, key)
		for _, c := range grown {
			if !strings.Contains(data, "\n"+c.name+"\t") {
				t.Errorf("%s: no point of %s:\n%s", key, c.name, data)
			}
		}
	}
	for _, key := range []string{"names-call", "names-enter", "names-leave", "names-list"} {
		if data := readChart(t, dir, key); !strings.Contains(data, "\n"+registryName+"\t10000\t") {
			t.Errorf("%s: no point of 10,000 names:\n%s", key, data)
		}
	}
}

// readChart returns the data of a chart that is there, too.
func readChart(t *testing.T, dir, key string) string {
	t.Helper()
	if len(svgTexts(t, filepath.Join(dir, key+".svg"))) == 0 {
		t.Errorf("%s: the chart has no text", key)
	}
	data, err := os.ReadFile(filepath.Join(dir, key+".tsv"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestMeasureGrowthRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-part", "("},
		{"-part", "no such part"},
		{"-nonsense"},
		{"word"},
	} {
		if err := measureGrowth(args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: got no error", args)
		}
	}
}
