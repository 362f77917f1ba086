package main

import (
	"fmt"
	"math"
)

// verdict is what a row says of a target.
func (c *caseResult) verdict(e entrant) string {
	t := c.workload.target
	switch e.name() {
	case pushTunnel.name:
		return c.judge(e, t.stream)
	case pushDirect.name:
		return c.judge(e, t.direct)
	case nativeProtocol.name:
		if ratio := c.ratios(e, rawFrames.name, c.workload.figure.of).mid; t.native > 0 && !math.IsNaN(ratio) {
			return judge(ratio, t.native, "× "+rawFrames.name, c.workload.figure.less)
		}
	}
	return ""
}

// judge compares one of ours with its target.
func (c *caseResult) judge(e entrant, target float64) string {
	switch {
	case target == 0 || len(c.rounds(e)) == 0:
		return ""
	case c.workload.target.allocs:
		return judge(c.median(e, sample.allocs), target, "allocs", true)
	default:
		return judge(c.ratios(e, reference.name(), c.workload.figure.of).mid, target, "×", c.workload.figure.less)
	}
}

// judge says what the target is, and whether value reaches it.
func judge(value, target float64, unit string, less bool) string {
	sign, met := "≥", value >= target
	if less {
		sign, met = "≤", value <= target
	}
	if met {
		return fmt.Sprintf("%s %v %s met", sign, target, unit)
	}
	return fmt.Sprintf("%s %v %s MISSED: %s", sign, target, unit, number(value, 2))
}

// againstNATS says how one of ours compares with NATS in the same rounds.
func (c *caseResult) againstNATS(e entrant) string {
	switch e.name() {
	case pushTunnel.name, pushDirect.name, nativeProtocol.name:
	default:
		return ""
	}
	ratio := c.ratios(e, natsRequest.name, c.workload.figure.of).mid
	switch {
	case math.IsNaN(ratio):
		return ""
	case (ratio < 1) == c.workload.figure.less:
		return number(ratio, 2) + " ahead"
	default:
		return number(ratio, 2) + " BEHIND"
	}
}
