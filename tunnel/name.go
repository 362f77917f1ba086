package tunnel

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/metadata"
)

// MaxName is the longest name of a client, in bytes.
const MaxName = 255

// CheckName reports why a client may not have this name; nil if it may. A name
// is 1 to 255 bytes of valid UTF-8 without control characters.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the client name is empty")
	case len(name) > MaxName:
		return fmt.Errorf("the client name has %d bytes, above the limit of %d", len(name), MaxName)
	case !utf8.ValidString(name):
		return errors.New("the client name is not valid UTF-8")
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return fmt.Errorf("the client name %q has a control character", name)
		}
	}
	return nil
}

// setName is what NameFromMetadata finds.
func setName(md metadata.MD, name string) {
	if printable(name) {
		md.Set(NameKey, name)
	} else {
		md.Set(NameBinKey, name)
	}
}

// NameFromMetadata returns the client name that a stream's metadata carry. See
// PushTunnel.Connect in proto/pushtunnel.proto.
func NameFromMetadata(md metadata.MD) (string, error) {
	names := append(md.Get(NameKey), md.Get(NameBinKey)...)
	switch len(names) {
	case 0:
		return "", fmt.Errorf("no client name: set %q in the stream's metadata", NameKey)
	case 1:
		return names[0], CheckName(names[0])
	default:
		return "", fmt.Errorf("%d client names; there must be one", len(names))
	}
}
