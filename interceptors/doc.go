// Package interceptors has the interceptors that calls through a tunnel need and
// that stock ones are not. Those for the end that calls, the server, know whom a
// push is for and how far it came:
//
//   - Logging writes a line for each push, with the session that it went to.
//   - Authorize decides which pushes are made.
//   - IdempotencyKey gives all attempts of a push the same key.
//   - RetryNotSent repeats what never left this end.
//   - LimitPerClient bounds what one client is sent.
//
// Those for the end that serves, the client, are HandlerLogging and Deduplicate.
//
// Everything else is there already: go-grpc-middleware's interceptors and metrics
// work unchanged at both ends, its client interceptors at the end that calls and its
// server interceptors at the end that serves. docs/INTERCEPTORS.md says which to use
// where, and examples/interceptors has tests of all.
//
// # Order
//
// The first interceptor is the outermost. At the end that calls:
//
//	metrics, Logging, Authorize, IdempotencyKey, RetryNotSent, LimitPerClient
//
// Then a push is counted and logged once, whatever it took; one that is not allowed
// is seen but costs nothing; all attempts have one key; and an attempt that meets a
// limit is one to repeat. At the end that serves:
//
//	metrics, HandlerLogging, auth, rate limit, Deduplicate, validation, recovery
//
// Then what is refused is not remembered as an answer, and a handler that panics is
// an error to all of them.
//
// The functions return a pair, for unary and for streaming calls. Callers and
// Handlers make of the pairs what the options of packages server and client take.
package interceptors
