package main

// A figure is the number that a case compares.
type figure struct {
	name string
	of   func(job, sample) float64
	text func(job, sample) string
	less bool // less is better
}

// The figures there are.
var (
	callRate = figure{
		name: "calls/s",
		of:   func(_ job, s sample) float64 { return s.rate() },
		text: func(_ job, s sample) string { return number(s.rate(), 0) + " calls/s" },
	}
	medianLatency = figure{
		name: "p50",
		of:   func(_ job, s sample) float64 { return s.percentile(50) },
		text: func(_ job, s sample) string {
			return number(s.percentile(50), 1) + " / " + number(s.percentile(99), 0) + " µs"
		},
		less: true,
	}
	tailLatency = figure{
		name: "p99",
		of:   func(_ job, s sample) float64 { return s.percentile(99) },
		text: func(j job, s sample) string {
			return medianLatency.text(j, s) + ", " + number(s.moved()/(1<<20), 0) + " MiB/s"
		},
		less: true,
	}
	messageRate = figure{
		name: "messages/s",
		of:   func(_ job, s sample) float64 { return s.rate() },
		text: func(_ job, s sample) string { return number(s.rate(), 0) + " messages/s" },
	}
	byteRate = figure{
		name: "MiB/s",
		of:   func(_ job, s sample) float64 { return s.rate() },
		text: func(j job, s sample) string { return number(s.rate()*float64(j.Size)/(1<<20), 0) + " MiB/s" },
	}
)

// A target is what this library should reach in a case; zero means that there is
// none.
type target struct {
	// The ratios to plain grpc-go of the stream transport and of the direct one.
	stream, direct float64
	// The ratio of the native protocol to raw frames.
	native float64
	// stream and direct are allocations per call, instead.
	allocs bool
}
