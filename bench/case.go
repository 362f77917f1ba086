package main

import (
	"fmt"
	"regexp"
	"time"
)

// A workload is a case of the table: a job, and what is compared.
type workload struct {
	name   string
	job    job
	figure figure
	target target
	extra  bool // left out by -quick
}

// deadline is that of every call unless the case is about calls without one.
const deadline = time.Minute

// workloads are the cases of the table.
var workloads = []workload{
	{
		name:   "1 caller, 1 client, 100 B",
		job:    job{Clients: 1, Callers: 1, Size: 100, Timeout: deadline, Timed: true},
		figure: medianLatency, target: target{stream: 0.42, direct: 0.30},
	},
	{
		name:   "1 caller, 1 client, 16 KiB",
		job:    job{Clients: 1, Callers: 1, Size: 16 << 10, Timeout: deadline, Timed: true},
		figure: medianLatency, target: target{stream: 0.58, direct: 0.40},
	},
	{
		name:   "64 callers, 1 client, 100 B",
		job:    job{Clients: 1, Callers: 64, Size: 100, Timeout: deadline},
		figure: callRate, target: target{stream: 5, direct: 6, native: 0.4},
	},
	{
		name:   "64 callers, 1 client, 16 KiB",
		job:    job{Clients: 1, Callers: 64, Size: 16 << 10, Timeout: deadline},
		figure: callRate, target: target{stream: 1.5, direct: 2},
	},
	{
		name:   "64 callers, 1,000 clients, 100 B",
		job:    job{Clients: 1000, Callers: 64, Size: 100, Timeout: deadline},
		figure: callRate, target: target{stream: 2.1, direct: 4.2},
	},
	{
		name:   "64 callers, 1,000 clients, 16 KiB",
		job:    job{Clients: 1000, Callers: 64, Size: 16 << 10, Timeout: deadline},
		figure: callRate, target: target{stream: 1.5, direct: 2.5},
	},
	{
		name:   "64 callers, 1 client, 100 B, no deadline",
		job:    job{Clients: 1, Callers: 64, Size: 100},
		figure: callRate, target: target{stream: 14, direct: 12, allocs: true},
	},
	{
		name:   "stream from the client, 100 B messages",
		job:    job{Kind: download, Clients: 1, Size: 100, Timeout: deadline},
		figure: messageRate, target: target{stream: 1.5, direct: 2},
	},
	{
		name:   "stream to the client, 100 B messages",
		job:    job{Kind: upload, Clients: 1, Size: 100, Timeout: deadline},
		figure: messageRate, target: target{stream: 1.5, direct: 2},
	},
	{
		name:   "stream from the client, 64 KiB messages",
		job:    job{Kind: download, Clients: 1, Size: 64 << 10, Timeout: deadline},
		figure: byteRate, target: target{stream: 0.95, direct: 1.3},
	},
	{
		name:   "stream to the client, 64 KiB messages",
		job:    job{Kind: upload, Clients: 1, Size: 64 << 10, Timeout: deadline},
		figure: byteRate, target: target{stream: 0.95, direct: 1.3},
	},
	{
		name:   "4 callers beside a transfer of 64 MiB",
		job:    job{Kind: beside, Clients: 1, Callers: 4, Size: 100, Timeout: deadline, Timed: true},
		figure: tailLatency, target: target{stream: 0.3, direct: 0.3},
	},
}

// An entrant is a contender with the links it has: a row of each case.
type entrant struct {
	contender contender
	link      link
	extra     bool // left out by -quick
}

// reference is the entrant that ratios refer to.
var reference = entrant{contender: plainGRPC}

// entrants are the rows of each case.
var entrants = []entrant{
	reference,
	{contender: plainGRPC, link: link{recommended: true}, extra: true},
	{contender: naiveTunnel, extra: true},
	{contender: natsRequest},
	{contender: pushTunnel},
	{contender: pushDirect},
	{contender: nativeProtocol},
	{contender: rawFrames},
}

// name is unique among entrants.
func (e entrant) name() string { return e.contender.name + e.link.suffix() }

// can says whether the entrant can do the job.
func (e entrant) can(j job) bool {
	return e.contender.streams || !j.Kind.streaming() && j.Kind != beside
}

// suffix says in what the link differs from the zero value.
func (l link) suffix() string {
	var s string
	if l.tls {
		s += " + TLS"
	}
	if l.recommended {
		s += " + static windows"
	}
	return s
}

// An idleCase is one row of the memory table.
type idleCase struct {
	contender contender
	link      link
	target    float64 // KiB of server memory per idle client; 0 means none
	extra     bool    // left out by -quick
}

// idleCases are measured in processes of their own.
var idleCases = []idleCase{
	{contender: plainGRPC},
	{contender: naiveTunnel, extra: true},
	{contender: natsRequest, extra: true},
	{contender: pushTunnel, target: 30},
	{contender: pushDirect, target: 6},
	{contender: nativeProtocol, target: 8, extra: true},
	{contender: rawFrames, extra: true},
	{contender: plainGRPC, link: link{tls: true}, extra: true},
	{contender: naiveTunnel, link: link{tls: true}, extra: true},
	{contender: pushTunnel, link: link{tls: true}, target: 42},
	{contender: pushDirect, link: link{tls: true}, target: 20},
}

// idleCaseName is what -case is matched with for all of idleCases.
const idleCaseName = "memory of an idle client"

func (c idleCase) name() string { return c.contender.name + c.link.suffix() }

// matching returns those of all whose name matches pattern.
func matching[T any](all []T, pattern *regexp.Regexp, name func(T) string) []T {
	var found []T
	for _, v := range all {
		if pattern.MatchString(name(v)) {
			found = append(found, v)
		}
	}
	return found
}

// contenderNamed finds a contender again in another process.
func contenderNamed(name string) (contender, error) {
	for _, e := range entrants {
		if e.contender.name == name {
			return e.contender, nil
		}
	}
	for _, c := range []contender{gatewayTunnel, gatewayDirect} {
		if c.name == name {
			return c, nil
		}
	}
	return contender{}, fmt.Errorf("no contender %q", name)
}
