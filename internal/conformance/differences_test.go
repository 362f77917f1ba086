package conformance

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

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
	metadataLimit = &difference{
		what: "metadata of more than 64 KiB fail the call with RESOURCE_EXHAUSTED, and so do status details; grpc-go takes 16 MiB",
		why:  "they are not under flow control, so they bound what a session may hold; options raise it to 256 KiB",
	}
	noQueue = &difference{
		what: "a call above the other end's limit of calls at a time fails at once with RESOURCE_EXHAUSTED, and was not sent; grpc-go lets it wait",
		why:  "the name may have another session, which is tried then",
	}
	ownStreams = &difference{
		what: "grpc.SetSendCompressor, grpc.ClientSupportedCompressors and grpc.PreparedMsg return an error; answers are compressed as the request is",
		why:  "they know grpc-go's own streams only",
	}
	badMetadataStats = &difference{
		what: "stats handlers are told of a call whose metadata can't be sent: that it begins and ends",
		why:  "they may add to the metadata, so it is looked at when they have begun",
	}
	refusedStats = &difference{
		what: "stats handlers of the handler's end are not told of a call to a method that is not there",
		why:  "such a call is refused before it becomes one; grpc-go tells them that it begins and not that it ends",
	}
	connStats = &difference{
		what: "stats handlers are not told of connections",
		why:  "a tunnel has none of its own; server.Hooks and client.Hooks tell of sessions",
	}
	oneFrame = &difference{
		what: "the handler of a call with one request starts when the request comes; in grpc-go it starts when the caller opens the call",
		why:  "head and request travel in one frame; a call whose request can't be sent never begins",
	}
	unknownCodecs = &difference{
		what: "a call with a codec that the handler's end does not have fails with UNIMPLEMENTED before the handler runs; grpc-go takes it for proto and logs a warning",
		why:  "one codec's bytes may pass for another's; grpc-go says that it will refuse such calls, too",
	}
	cancelDrops = &difference{
		what: "once the caller's context has ended RecvMsg returns its error; in grpc-go it first returns what had come before",
		why:  "a caller that leaves reads no more as a rule, and what it holds is for the other calls of the session",
	}
	sendAfterEnd = &difference{
		what: "once SendMsg has failed because it was called after CloseSend, RecvMsg returns that error; in grpc-go it does not if the handler has ended the call",
		why:  "a call has one error, which is the one that OnFinish is told",
	}
	rawMessages = &difference{
		what: "a status message that is not UTF-8 arrives as it was; grpc-go replaces its bad bytes, and drops the details",
		why:  "a tunnel carries messages as bytes, so there is no need to change them",
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

// resetText is the text of an error that grpc-go's caller sees when the handler's
// end notices that the deadline has passed and says so first. That depends on who
// of two runs first, so it is not compared.
const resetText = "stream terminated by RST_STREAM with error code: CANCEL"

// seenMessage is the text of a failure without that.
func seenMessage(st *status.Status) string {
	if st.Code() == codes.DeadlineExceeded && st.Message() == resetText {
		return context.DeadlineExceeded.Error()
	}
	return st.Message()
}

// seenMetadata is metadata without what gRPC adds.
func seenMetadata(md metadata.MD) metadata.MD {
	md = md.Copy()
	for _, key := range ownKeys {
		delete(md, key)
	}
	return md
}
