package server

import (
	"context"
	"hash/fnv"

	"google.golang.org/grpc/metadata"
)

// Pick is what a Picker chooses by.
type Pick struct {
	// Context is the call's.
	Context context.Context //nolint:containedctx // an argument
	// Name is the client's.
	Name string
	// Method is the call's full method.
	Method string
	// Sessions are those of the name that take calls: one or more, the oldest
	// first. They must not be changed.
	Sessions []*Session
	// Sequence counts the picks of this name, from 0.
	Sequence uint64
}

// Picker chooses one of Pick.Sessions for a call. It is called for every call
// to a name, by many goroutines, and must not block. If it returns nil the call
// fails with UNAVAILABLE.
type Picker func(Pick) *Session

// RoundRobin takes the sessions of a name in turn. It is the default.
func RoundRobin(p Pick) *Session {
	return p.Sessions[p.Sequence%uint64(len(p.Sessions))]
}

// LeastInFlight takes a session with the fewest calls under way. Among equals it
// goes round.
func LeastInFlight(p Pick) *Session {
	n := uint64(len(p.Sessions))
	var best *Session
	least := 0
	for i := range n {
		s := p.Sessions[(p.Sequence+i)%n]
		if calls := s.InFlight(); best == nil || calls < least {
			best, least = s, calls
		}
	}
	return best
}

// Newest takes the session that came last.
func Newest(p Pick) *Session { return p.Sessions[len(p.Sessions)-1] }

// Sticky returns a Picker that sends calls of the same key to the same session,
// as long as it is there: a session that comes or goes moves only the keys that
// it gets or had. The key is the first value of this key of the call's outgoing
// metadata. Calls without one go round.
func Sticky(metadataKey string) Picker {
	return StickyBy(func(p Pick) (string, bool) {
		md, _ := metadata.FromOutgoingContext(p.Context)
		values := md.Get(metadataKey)
		if len(values) == 0 {
			return "", false
		}
		return values[0], true
	})
}

// StickyBy is Sticky with a key that is the caller's to choose. Calls for which
// key reports false go round.
func StickyBy(key func(Pick) (string, bool)) Picker {
	return func(p Pick) *Session {
		k, ok := key(p)
		if !ok {
			return RoundRobin(p)
		}
		// Rendezvous hashing: each session has a weight for the key.
		var best *Session
		var most uint64
		for _, s := range p.Sessions {
			h := fnv.New64a()
			h.Write([]byte(s.ID()))
			h.Write([]byte{0})
			h.Write([]byte(k))
			if weight := mix(h.Sum64()); best == nil || weight > most {
				best, most = s, weight
			}
		}
		return best
	}
}

// mix spreads a hash over all bits: FNV leaves the weights of keys that differ
// in the last byte close together.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
