package main

import "time"

// A job is what a fleet is asked to do, over and over.
type job struct {
	Kind    kind
	Clients int           // connected; each call goes to one of them, chosen at random
	Callers int           // each makes one call after the other
	Size    int           // bytes of each message
	Timeout time.Duration // every call gets a deadline this far away; 0 means none
	Timed   bool          // note how long each call takes
}

// A kind is a kind of job.
type kind int

const (
	// calls are unary calls.
	calls kind = iota
	// download is one call whose answer is a stream of messages.
	download
	// upload is one call that sends a stream of messages.
	upload
	// beside is unary calls to a client while a stream sends it a lot of data.
	beside
	// fanout is a call of every client, 64 at a time.
	fanout
)

// streaming says whether the operations that a sample counts are messages of a
// stream, rather than calls.
func (k kind) streaming() bool { return k == download || k == upload }

// The stream of the kind beside.
const (
	transferSize    = 64 << 20
	transferMessage = 64 << 10
)
