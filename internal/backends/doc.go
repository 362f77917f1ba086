// Package backends has tests of programs in other languages that push through the
// gateway with stock gRPC: those of examples/push. "make interop-backends" runs them.
package backends
