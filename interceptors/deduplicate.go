package interceptors

import (
	"context"
	"hash/maphash"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Window sets up Deduplicate. The zero value has the defaults.
type Window struct {
	// Lasts is for how long an answer is remembered. If zero, 10 minutes.
	Lasts time.Duration
	// MaxAnswers is how many answers are remembered, the running handlers included.
	// If zero, 10,000.
	MaxAnswers int
	// MaxBytes is how many bytes the answers have, with their keys. If zero, 16 MiB.
	MaxBytes int
	// Grace is how long a handler runs on when no call waits for its answer any
	// more. If zero, 10 s; if negative, it does not.
	Grace time.Duration
}

func (w Window) withDefaults() Window {
	if w.Lasts == 0 {
		w.Lasts = 10 * time.Minute
	}
	if w.MaxAnswers == 0 {
		w.MaxAnswers = 10_000
	}
	if w.MaxBytes == 0 {
		w.MaxBytes = 16 << 20
	}
	if w.Grace == 0 {
		w.Grace = 10 * time.Second
	}
	return w
}

// Deduplicate runs the handler once for all unary pushes of a method that have the
// same KeyMetadata. The others wait for the first to end and get its answer, an error
// too. Pushes without a key, native ones among them, and streams pass. A push with
// the key of another request fails with INVALID_ARGUMENT.
//
// Keys hold across the sessions of a client: give each client.Client its own
// Deduplicate, and a push that was sent on a session which then was lost can be
// repeated on the next one. Clients that share one are told apart by their names. For
// this the handler must not end with the session. So
// its context has no deadline and is not cancelled while a call waits for the answer,
// nor for the Grace after that. It has the values of the first call's.
//
// Answers are in memory: those of before the process started are not known, nor those
// that are older than the Window or had to make room. The oldest goes first; a
// handler that runs is never forgotten. A repeated answer is the same message, which
// nobody may change any more. It comes without the header and trailer of the first.
func Deduplicate(w Window) Handler {
	d := &deduplicator{answers: newAnswers(w.withDefaults()), seed: maphash.MakeSeed()}
	return Handler{Unary: d.unary}
}

type deduplicator struct {
	answers *answers
	seed    maphash.Seed
}

func (d *deduplicator) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	keys := md.Get(KeyMetadata)
	if len(keys) == 0 || keys[0] == "" {
		return handler(ctx, req)
	}
	p, _ := tunnel.PeerFromContext(ctx)
	id := answerID{clientKey{p.Namespace, p.Name}, info.FullMethod, keys[0]}
	a, handlerCtx := d.answers.get(ctx, id, d.fingerprint(req))
	switch {
	case a == nil:
		return nil, status.Errorf(codes.InvalidArgument, "pushtunnel: the idempotency key %q was used for another request", keys[0])
	case handlerCtx != nil:
		return a.run(ctx, handlerCtx, req, handler)
	default:
		return a.wait(ctx)
	}
}

// fingerprint tells requests apart: 0 for those that are no protobuf message.
func (d *deduplicator) fingerprint(req any) uint64 {
	m, ok := req.(proto.Message)
	if !ok {
		return 0
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return 0
	}
	return maphash.Bytes(d.seed, b)
}
