package conformance

import "google.golang.org/grpc/metadata"

// difference is something that is not meant to be as in plain gRPC.
type difference struct {
	what string
	why  string
}

var (
	capitalKeys = &difference{
		what: "metadata keys with capital letters are sent in lower case; grpc-go fails the call",
		why:  "nobody outside of package metadata can see the keys as they were set",
	}
	badHeaders = &difference{
		what: "grpc.SetHeader and grpc.SendHeader refuse a header that can't be sent, as a stream's methods do; grpc-go fails the call",
		why:  "in grpc-go it is the caller's HTTP/2 that notices",
	}
	badTrailers = &difference{
		what: "a trailer that can't be sent fails the call with INTERNAL, as in grpc-go, but the text says why",
		why:  "in grpc-go it is the caller's HTTP/2 that notices",
	}
)

// ownKeys are metadata that grpc-go adds by itself and shows to users. A tunnel
// adds none: they are about HTTP/2.
var ownKeys = []string{":authority", "content-type", "user-agent", "grpc-accept-encoding", "grpc-status-details-bin"}

// seenMetadata is metadata without what gRPC adds.
func seenMetadata(md metadata.MD) metadata.MD {
	md = md.Copy()
	for _, key := range ownKeys {
		delete(md, key)
	}
	return md
}
