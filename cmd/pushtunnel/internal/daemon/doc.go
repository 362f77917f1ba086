// Package daemon is what "pushtunnel serve" runs: a gRPC server that accepts
// clients and forwards calls to them.
//
// Settings say how. Settings.Check finds what is wrong with them, without a network.
// Start listens, and Daemon.Run serves until its context ends and then parts from
// the clients without loss.
package daemon
