package tunnel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/metadata"
)

// The metadata keys that carry what else a client says of itself. See
// PushTunnel.Connect in proto/pushtunnel.proto.
const (
	NamespaceKey    = "clientnamespace"
	NamespaceBinKey = "clientnamespace-bin"
	LabelKey        = "clientlabel"
	LabelBinKey     = "clientlabel-bin"
)

const (
	// MaxLabels is how many labels a client may have.
	MaxLabels = 64
	// MaxLabelKey is the longest key of a label, in bytes.
	MaxLabelKey = 63
	// MaxLabelValue is the longest value of a label, in bytes.
	MaxLabelValue = 255
)

// Claim is what a client says of itself when it connects. Nothing of it is proved.
type Claim struct {
	Name      string
	Namespace string            // empty: the default one
	Labels    map[string]string // nil if there are none
}

// Check reports why no client may be that; nil if one may. Names and namespaces
// are checked by CheckName, but that a namespace may be empty; labels by
// CheckLabels.
func (c Claim) Check() error {
	if err := CheckName(c.Name); err != nil {
		return err
	}
	if err := CheckNamespace(c.Namespace); err != nil {
		return err
	}
	return CheckLabels(c.Labels)
}

// Metadata returns the metadata that carry the claim.
func (c Claim) Metadata() metadata.MD {
	md := metadata.MD{}
	add := func(key, value string) {
		if !plain(value) {
			key += "-bin"
		}
		md.Append(key, value)
	}
	add(NameKey, c.Name)
	if c.Namespace != "" {
		add(NamespaceKey, c.Namespace)
	}
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		add(LabelKey, k+"="+c.Labels[k])
	}
	return md
}

// ClaimFromMetadata returns the claim that a stream's metadata carry. With an error it
// is what of it is right: the name, or nothing.
func ClaimFromMetadata(md metadata.MD) (Claim, error) {
	name, err := NameFromMetadata(md)
	if err != nil {
		return Claim{}, err
	}
	c := Claim{Name: name}
	switch spaces := values(md, NamespaceKey, NamespaceBinKey); len(spaces) {
	case 0:
	case 1:
		c.Namespace = spaces[0]
	default:
		return Claim{}, fmt.Errorf("%d namespaces; there must be one at most", len(spaces))
	}
	pairs := values(md, LabelKey, LabelBinKey)
	if len(pairs) > MaxLabels {
		return Claim{}, fmt.Errorf("%d labels, above the limit of %d", len(pairs), MaxLabels)
	}
	for _, pair := range pairs {
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			return Claim{}, fmt.Errorf("the label %q is not of the form key=value", clip(pair))
		}
		if _, twice := c.Labels[k]; twice {
			return Claim{}, fmt.Errorf("the label %q is there twice", clip(k))
		}
		if c.Labels == nil {
			c.Labels = make(map[string]string, len(pairs))
		}
		c.Labels[k] = v
	}
	if err := c.Check(); err != nil {
		return Claim{Name: name}, err // what is wrong may be long
	}
	return c, nil
}

func values(md metadata.MD, key, binKey string) []string {
	plain, bin := md.Get(key), md.Get(binKey)
	return append(plain[:len(plain):len(plain)], bin...)
}

// CheckNamespace reports why there may be no such namespace; nil if there may. It
// is empty, which is the default one, or like a name.
func CheckNamespace(namespace string) error {
	if namespace == "" {
		return nil
	}
	return checkText("namespace", namespace, MaxName)
}

// CheckLabels reports why a client may not have these labels; nil if it may. There
// are 64 at most. A key has 1 to 63 letters, digits, dots, dashes, underscores and
// slashes, a value up to 255 bytes of UTF-8 without control characters.
func CheckLabels(labels map[string]string) error {
	if len(labels) > MaxLabels {
		return fmt.Errorf("%d labels, above the limit of %d", len(labels), MaxLabels)
	}
	for k, v := range labels {
		if err := CheckLabelKey(k); err != nil {
			return err
		}
		if err := checkText("value of label "+k, v, MaxLabelValue); v != "" && err != nil {
			return err
		}
	}
	return nil
}

// CheckLabelKey reports why there may be no label of this key; nil if there may.
func CheckLabelKey(k string) error {
	if k == "" {
		return errors.New("a label has an empty key")
	}
	if len(k) > MaxLabelKey {
		return fmt.Errorf("the label key %q has %d bytes, above the limit of %d", clip(k), len(k), MaxLabelKey)
	}
	for i := range len(k) {
		c := k[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-/", c) >= 0) {
			return fmt.Errorf("the label key %q has %q, which is not allowed there", k, c)
		}
	}
	return nil
}

// checkText reports why what is called so may not have this value.
func checkText(what, s string, most int) error {
	switch {
	case s == "":
		return fmt.Errorf("the %s is empty", what)
	case len(s) > most:
		return fmt.Errorf("the %s has %d bytes, above the limit of %d", what, len(s), most)
	case !utf8.ValidString(s):
		return fmt.Errorf("the %s is not valid UTF-8", what)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("the %s %q has a control character", what, s)
		}
	}
	return nil
}

// clip shortens what a peer has sent, for an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
