package gateway

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/server"
)

// Option sets up a Gateway.
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

type options struct {
	dropped map[string]bool // metadata keys that clients do not get
	picker  server.Picker
}

func defaults() options {
	return options{dropped: maps.Clone(withheld), picker: server.LeastInFlight}
}

// withheld are the keys that are not forwarded by default: what belongs to the
// caller's connection to this server, and what proves who the caller is. A client
// that had that could be the caller elsewhere.
var withheld = map[string]bool{
	"grpc-accept-encoding": true,

	"authorization":           true,
	"proxy-authorization":     true,
	"cookie":                  true,
	"x-api-key":               true,
	"api-key":                 true,
	"x-goog-api-key":          true,
	"x-auth-token":            true,
	"x-amz-security-token":    true,
	"x-forwarded-client-cert": true,
}

// WithForwarded has these metadata keys forwarded to the clients, although they are
// held back by default: credentials, such as "authorization".
func WithForwarded(keys ...string) Option {
	return optionFunc(func(o *options) {
		for _, k := range keys {
			delete(o.dropped, strings.ToLower(k))
		}
	})
}

// WithDropped holds these metadata keys back, besides those that are by default: a
// credential of the program's own, for instance.
func WithDropped(keys ...string) Option {
	return optionFunc(func(o *options) {
		for _, k := range keys {
			o.dropped[strings.ToLower(k)] = true
		}
	})
}

// WithPicker sets how a session is chosen among those whose labels match. Pick.Name
// is empty if the caller names no client. The default is server.LeastInFlight. Calls
// that ask for no labels are the server's own picker's.
func WithPicker(p server.Picker) Option { return optionFunc(func(o *options) { o.picker = p }) }

// forwarded returns what a client gets of a caller's metadata. What gRPC itself sets
// is not the gateway's to drop: a tunnel leaves it out of what it sends.
func (o *options) forwarded(md metadata.MD) metadata.MD {
	maps.DeleteFunc(md, func(key string, _ []string) bool {
		return strings.HasPrefix(key, ownPrefix) || o.dropped[key]
	})
	return md
}

// subtype returns the content-subtype of a call, empty for the usual one.
func subtype(md metadata.MD) string {
	types := md["content-type"]
	if len(types) == 0 {
		return ""
	}
	rest, ok := strings.CutPrefix(strings.ToLower(types[0]), "application/grpc")
	if !ok || len(rest) < 2 || !slices.Contains([]byte("+;"), rest[0]) {
		return ""
	}
	return rest[1:]
}
