package tunnel

import (
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// statusDetails encodes the details of a status for the wire: a
// google.rpc.Status, nil if there are none.
func statusDetails(st *status.Status) []byte {
	p := st.Proto()
	if len(p.GetDetails()) == 0 {
		return nil
	}
	p.Message = strings.ToValidUTF8(p.GetMessage(), "\uFFFD") // proto takes no other
	details, err := proto.Marshal(p)
	if err != nil {
		return nil // better the status without them than none
	}
	return details
}

// statusOf makes a status of what came in. Details that do not belong to it are
// left out.
func statusOf(code uint32, message, details []byte) *status.Status {
	p := &spb.Status{}
	if len(details) == 0 || proto.Unmarshal(details, p) != nil || p.GetCode() != int32(code) { //nolint:gosec // compared only
		p = &spb.Status{Code: int32(code)} //nolint:gosec // a status code
	}
	p.Message = string(message)
	return status.FromProto(p)
}
