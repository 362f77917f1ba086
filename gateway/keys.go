package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// The metadata keys that say where a call is to go. A value that is not printable
// ASCII, or has spaces at its ends, is sent under the key with "-bin" behind it. Each
// may be there once. All keys that begin with "pushtunnel-" belong to the gateway: no
// client gets them.
const (
	// ClientKey is the client's name.
	ClientKey = "pushtunnel-client"
	// NamespaceKey is the client's namespace. Without it that is the default one.
	NamespaceKey = "pushtunnel-namespace"
	// SessionKey is the id of one session, and no other will do. If a name, a
	// namespace or labels are given, too, they must be the session's.
	SessionKey = "pushtunnel-session"
	// LabelsKey is a selector, as server.ParseSelector reads it: the call goes to a
	// session of the client that it matches. Without a name it goes to any session
	// of the namespace that it matches.
	LabelsKey = "pushtunnel-labels"
	// WaitKey is "true" if the call shall wait for a client to connect, until its
	// deadline. It has no effect with a session's id: ids do not come back.
	WaitKey = "pushtunnel-wait-for-ready"
)

// OutcomeKey is the trailing metadata key that says of a call that failed how far it
// came: "not sent", "refused", "unknown" or "answered". See tunnel.Outcome.
const OutcomeKey = "pushtunnel-outcome"

const (
	ownPrefix  = "pushtunnel-"
	maxSession = 255 // bytes of a session's id, far more than one has
)

// addresses are the keys of which a call that is to be forwarded has one.
var addresses = []string{ClientKey, ClientKey + "-bin", LabelsKey, LabelsKey + "-bin", SessionKey}

// addressed reports whether a call is to be forwarded.
func addressed(ctx context.Context) bool {
	return slices.ContainsFunc(addresses, func(key string) bool {
		return metadata.ValueFromIncomingContext(ctx, key) != nil
	})
}

// route is where a call is to go.
type route struct {
	Request
	selects bool // by labels
	waits   bool
}

// parseRoute reads the gateway's keys. Its errors are for the caller.
func parseRoute(md metadata.MD, method string) (route, error) {
	r := route{Request: Request{Method: method}}
	for key := range md {
		if strings.HasPrefix(key, ownPrefix) && !slices.Contains(known, key) {
			return r, fmt.Errorf("pushtunnel: the gateway does not know the metadata key %q", key)
		}
	}
	if client, ok, err := value(md, ClientKey); err != nil {
		return r, err
	} else if ok {
		if err := tunnel.CheckName(client); err != nil {
			return r, bad(ClientKey, err)
		}
		r.Client = client
	}
	namespace, _, err := value(md, NamespaceKey)
	if err == nil {
		err = bad(NamespaceKey, tunnel.CheckNamespace(namespace))
	}
	if err != nil {
		return r, err
	}
	r.Namespace = namespace
	if r.Session, err = session(md); err != nil {
		return r, err
	}
	if r.Selector, r.selects, err = selector(md); err != nil {
		return r, err
	}
	if r.Client == "" && r.Session == "" && !r.selects {
		return r, fmt.Errorf("pushtunnel: the call names no client: set the metadata key %q", ClientKey)
	}
	r.waits, err = waits(md)
	return r, err
}

// known are all keys that a caller may send.
var known = []string{
	ClientKey, ClientKey + "-bin", NamespaceKey, NamespaceKey + "-bin", LabelsKey, LabelsKey + "-bin", SessionKey, WaitKey,
}

// value returns the one value of a key, with "-bin" or without.
func value(md metadata.MD, key string) (v string, ok bool, err error) {
	plain, bin := md[key], md[key+"-bin"]
	switch {
	case len(plain)+len(bin) > 1:
		return "", false, fmt.Errorf("pushtunnel: the metadata key %q is there %d times; once is the most", key, len(plain)+len(bin))
	case len(plain) == 1:
		return plain[0], true, nil
	case len(bin) == 1:
		return bin[0], true, nil
	}
	return "", false, nil
}

// bad says which key an error is about.
func bad(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("pushtunnel: the metadata key %q: %s", key, strings.TrimPrefix(err.Error(), "pushtunnel: "))
}

func session(md metadata.MD) (string, error) {
	id, ok, err := value(md, SessionKey)
	switch {
	case err != nil:
		return "", err
	case ok && (id == "" || len(id) > maxSession):
		return "", bad(SessionKey, errors.New("this is not the id of a session"))
	}
	return id, nil
}

func selector(md metadata.MD) (s server.Selector, ok bool, err error) {
	text, ok, err := value(md, LabelsKey)
	if err != nil || !ok {
		return s, false, err
	}
	if strings.TrimSpace(text) == "" {
		return s, false, bad(LabelsKey, errors.New("it is empty, which would match everything"))
	}
	s, err = server.ParseSelector(text)
	return s, err == nil, bad(LabelsKey, err)
}

func waits(md metadata.MD) (bool, error) {
	switch v, ok, err := value(md, WaitKey); {
	case err != nil || !ok:
		return false, err
	case v == "true":
		return true, nil
	case v == "false":
		return false, nil
	default:
		return false, bad(WaitKey, fmt.Errorf(`it must be "true" or "false", not %q`, v))
	}
}
