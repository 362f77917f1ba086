// Package netio reads and writes a byte connection for sessions: many callers
// write at a time and none is held up by a peer that does not read, and a
// connection that waits for its peer holds no buffer.
package netio
