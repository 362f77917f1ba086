// Package metrics shows Prometheus what a server.Server does: its sessions, the calls
// to its clients, what they carry and which limits they hit.
//
//	m := metrics.New()
//	push := server.New(m.Option(), ...)
//	prometheus.MustRegister(m)
//
// docs/METRICS.md lists the metrics. How many series there are is bounded, whatever
// clients and callers do. What a call costs is two readings of the clock and an entry
// in a histogram; what a session has carried is asked when Prometheus does.
//
// Package clientmetrics has the same for a client.Client.
package metrics
