package tunnel

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// reserved reports whether a key belongs to gRPC itself. grpc-go leaves such
// keys out of what it sends without a word, and so does a tunnel.
func reserved(key string) bool {
	switch key {
	case "content-type", "user-agent", "grpc-message-type", "grpc-encoding", "grpc-message", "grpc-status",
		"grpc-timeout", "grpc-status-details-bin", "te":
		return true
	}
	return strings.HasPrefix(key, ":")
}

// checkMetadata reports the first pair that grpc-go does not send.
func checkMetadata(md metadata.MD) error { return checkPairs(md, printable) }

// checkReceived reports the first pair that grpc-go does not receive. It takes
// more than it sends.
func checkReceived(md metadata.MD) error { return checkPairs(md, transportable) }

func checkPairs(md metadata.MD, allowed func(value string) bool) error {
	for k, vs := range md {
		if k == "" {
			return errors.New("there is an empty key in the header")
		}
		if k[0] == ':' {
			continue
		}
		for i := range len(k) {
			c := k[i]
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
				return fmt.Errorf("header key %q contains illegal characters not in [0-9a-z-_.]", k)
			}
		}
		if strings.HasSuffix(k, "-bin") {
			continue
		}
		for _, v := range vs {
			if !allowed(v) {
				return fmt.Errorf("header key %q contains value with non-printable ASCII characters", k)
			}
		}
	}
	return nil
}

// transportable reports whether HTTP/2 has no objection to a value.
func transportable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// sendable returns md without reserved keys; md itself if it has none.
func sendableMetadata(md metadata.MD) metadata.MD {
	for k := range md {
		if reserved(k) {
			out := make(metadata.MD, len(md))
			for k, vs := range md {
				if !reserved(k) {
					out[k] = vs
				}
			}
			return out
		}
	}
	return md
}

// metadataCost is what md counts against Hello.max_metadata.
func metadataCost(md metadata.MD) int {
	n := 0
	for k, vs := range md {
		for _, v := range vs {
			n += len(k) + len(v) + wire.PairOverhead
		}
	}
	return n
}

// readMetadata decodes metadata that came in. It is nil if there is none. bad is
// why the call must fail; err is a protocol error.
func readMetadata(raw []byte, limit int) (md metadata.MD, bad, err error) {
	if len(raw) == 0 {
		return nil, nil, nil
	}
	n := 0
	md = make(metadata.MD)
	err = wire.EachPair(raw, func(key, value []byte) {
		if n += len(key) + len(value) + wire.PairOverhead; n <= limit {
			md[string(key)] = append(md[string(key)], string(value))
		}
	})
	if err != nil {
		return nil, nil, err
	}
	if n > limit {
		return nil, LimitMetadata.Status("pushtunnel: the peer sent metadata above the limit of %d bytes", limit).Err(), nil
	}
	if bad := checkReceived(md); bad != nil {
		return nil, status.Error(codes.Internal, "pushtunnel: the peer sent bad metadata: "+bad.Error()), nil
	}
	return md, nil, nil
}
