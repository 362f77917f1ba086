package tunnel

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/metadata"
)

// MaxName is the longest name of a client, in bytes.
const MaxName = 255

// CheckName reports why a client may not have this name; nil if it may. A name
// is 1 to 255 bytes of valid UTF-8 without control characters.
func CheckName(name string) error { return checkText("client name", name, MaxName) }

// setName is what NameFromMetadata finds.
func setName(md metadata.MD, name string) {
	if plain(name) {
		md.Set(NameKey, name)
	} else {
		md.Set(NameBinKey, name)
	}
}

// plain reports whether a value may travel under a key without -bin: proxies may
// take the spaces around it away.
func plain(value string) bool { return printable(value) && strings.Trim(value, " ") == value }

// NameFromMetadata returns the client name that a stream's metadata carry. See
// PushTunnel.Connect in proto/pushtunnel.proto.
func NameFromMetadata(md metadata.MD) (string, error) {
	names := values(md, NameKey, NameBinKey)
	switch len(names) {
	case 0:
		return "", fmt.Errorf("no client name: set %q in the stream's metadata", NameKey)
	case 1:
		return names[0], CheckName(names[0])
	default:
		return "", fmt.Errorf("%d client names; there must be one", len(names))
	}
}
