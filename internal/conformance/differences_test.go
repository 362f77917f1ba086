package conformance

import "google.golang.org/grpc/metadata"

// difference is something that is not meant to be as in plain gRPC.
type difference struct {
	what string
	why  string
}

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
