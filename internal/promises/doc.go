// Package promises has no code: its tests hold the whole library to what it
// promises, over real gRPC and a network with faults, in virtual time. There is
// a file for each promise:
//
//   - ends_test.go: every call ends exactly once, with a gRPC status, no later
//     than its deadline plus one heartbeat.
//   - outcome_test.go: the status says which of the outcomes it was, and only a
//     call that was never sent is tried again.
//   - owner_test.go: a push goes only to a session that owns the name at that
//     moment; a client that comes back owns its name within one round trip.
//     killed_test.go: the callers of a client that is killed are told at once.
//   - stalled_test.go: a stalled client or handler delays only its own calls, and
//     memory is bounded by options. speed_test.go: nor does a large transfer
//     delay others, and distance does not make it slow.
//   - hostile_test.go: nothing that a peer sends crashes the process, leaks a
//     goroutine or exceeds the bounds.
package promises
