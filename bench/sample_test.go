package main

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestSamplesAddUp(t *testing.T) {
	a := sample{
		Ops: 3, Elapsed: time.Second, Latencies: []time.Duration{5}, Moved: 7,
		Costs: costs{Mallocs: 11, MallocBytes: 13, systemCosts: systemCosts{CPU: 17, Syscalls: 19, Busy: 23, Total: 29}},
	}
	if got := (sample{}).plus(a); !reflect.DeepEqual(got, a) {
		t.Errorf("nothing and a sample: got %+v, want %+v", got, a)
	}
	twice := a.plus(a)
	want := sample{
		Ops: 6, Elapsed: 2 * time.Second, Latencies: []time.Duration{5, 5}, Moved: 14,
		Costs: costs{Mallocs: 22, MallocBytes: 26, systemCosts: systemCosts{CPU: 34, Syscalls: 38, Busy: 46, Total: 58}},
	}
	if !reflect.DeepEqual(twice, want) {
		t.Errorf("twice: got %+v, want %+v", twice, want)
	}
	if twice.rate() != a.rate() || twice.allocs() != a.allocs() || twice.cpu() != a.cpu() {
		t.Errorf("twice the same costs per call: got %+v", twice)
	}
}

// A sample comes through the pipe between the processes whole.
func TestSampleIsJSON(t *testing.T) {
	want := sample{
		Ops: 3, Elapsed: time.Second, Latencies: []time.Duration{5}, Moved: 7,
		Costs: costs{Mallocs: 11, MallocBytes: 13, systemCosts: systemCosts{CPU: 17, Syscalls: 19, Busy: 23, Total: 29}},
	}
	encoded, err := json.Marshal(answer{Sample: want})
	if err != nil {
		t.Fatal(err)
	}
	var got answer
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Sample, want) {
		t.Errorf("got %+v, want %+v", got.Sample, want)
	}
}

func TestSpans(t *testing.T) {
	want := []span{{50, 4}, {54, 3}, {57, 3}}
	if got := spans(50, 10, 3); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLinkOfTask(t *testing.T) {
	for _, want := range []link{{}, {tls: true}, {recommended: true}, {tls: true, recommended: true}} {
		if got, err := (task{Link: want.text()}).link(); got != want || err != nil {
			t.Errorf("got %v and %v, want %v", got, err, want)
		}
	}
}
