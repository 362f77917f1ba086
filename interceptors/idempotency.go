package interceptors

import (
	"context"
	"crypto/rand"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// KeyMetadata is the metadata key of a push's idempotency key.
const KeyMetadata = "idempotency-key"

// IdempotencyKey gives each push a key of its own, KeyMetadata in its metadata, that
// nobody can guess: crypto/rand.Text. A push that has one already keeps it. What is
// inside of it repeats the push with the same key, so put it outside of all that
// retries. With Deduplicate at the other end a push may then be repeated whatever its
// outcome. A program that makes a push again by itself puts the key into the outgoing
// metadata itself.
//
// Streams get a key too; Deduplicate does not look at it, but handlers can. The
// native protocol has no metadata: there keys are lost.
func IdempotencyKey() Caller {
	return Caller{
		Unary: func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(withKey(ctx), method, req, reply, cc, opts...)
		},
		Stream: func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return next(withKey(ctx), desc, cc, method, opts...)
		},
	}
}

func withKey(ctx context.Context) context.Context {
	if md, ok := metadata.FromOutgoingContext(ctx); ok && len(md.Get(KeyMetadata)) > 0 {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, KeyMetadata, rand.Text())
}
