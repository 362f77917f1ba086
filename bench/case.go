package main

import (
	"fmt"
	"regexp"
	"time"
)

// A workload is what is asked of every contender.
type workload struct {
	name    string
	clients int // connected; each call goes to one of them, chosen at random
	callers int // each makes one call after the other
	size    int // bytes of each message

	// latency says that the figure is the median latency of a call and not the
	// number of calls per second, so that less is better.
	latency bool

	// target is what pushtunnel should reach, relative to plain grpc-go.
	target float64
}

// workloads are the cases of the main table.
var workloads = []workload{
	{name: "1 caller, 1 client, 100 B", clients: 1, callers: 1, size: 100, latency: true, target: 0.6},
	{name: "1 caller, 1 client, 16 KiB", clients: 1, callers: 1, size: 16 << 10, latency: true},
	{name: "64 callers, 1 client, 100 B", clients: 1, callers: 64, size: 100, target: 3.5},
	{name: "64 callers, 1 client, 16 KiB", clients: 1, callers: 64, size: 16 << 10, target: 1.2},
	{name: "64 callers, 1,000 clients, 100 B", clients: 1000, callers: 64, size: 100, target: 1.8},
	{name: "64 callers, 1,000 clients, 16 KiB", clients: 1000, callers: 64, size: 16 << 10},
}

// An entrant is a contender with the conditions it runs under: a row of the
// table.
type entrant struct {
	contender contender
	link      link
	timeout   time.Duration // every call gets a deadline this far away; 0 means none
	extra     bool          // left out by -quick
}

// reference is the entrant that all ratios refer to.
var reference = entrant{contender: plainGRPC}

// entrants are the rows of each case.
var entrants = []entrant{
	reference,
	{contender: plainGRPC, link: link{staticWindows: true}, extra: true},
	{contender: plainGRPC, timeout: time.Minute, extra: true},
	{contender: naiveTunnel},
	{contender: natsRequest},
	{contender: pushTunnel},
	{contender: pushTunnel, timeout: time.Minute, extra: true},
	{contender: pushDirect},
	{contender: pushDirect, timeout: time.Minute, extra: true},
	{contender: nativeProtocol},
	{contender: rawFrames},
}

// name is unique among entrants.
func (e entrant) name() string {
	return e.contender.name + e.link.suffix() + map[bool]string{true: " + deadlines"}[e.timeout > 0]
}

// suffix says in what the link differs from the zero value.
func (l link) suffix() string {
	var s string
	if l.tls {
		s += " + TLS"
	}
	if l.staticWindows {
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
	{contender: naiveTunnel},
	{contender: natsRequest},
	{contender: pushTunnel, target: 34},
	{contender: pushDirect, target: 6},
	{contender: nativeProtocol, target: 8},
	{contender: rawFrames},
	{contender: plainGRPC, link: link{tls: true}, extra: true},
	{contender: naiveTunnel, link: link{tls: true}, extra: true},
	{contender: pushTunnel, link: link{tls: true}, extra: true},
	{contender: pushDirect, link: link{tls: true}, extra: true},
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
	return contender{}, fmt.Errorf("no contender %q", name)
}
