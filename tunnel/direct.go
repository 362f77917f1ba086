package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// The direct transport carries frames straight on a connection. See "The direct
// transport" in docs/PROTOCOL.md.

// ALPN is the protocol that the two ends of the direct transport agree upon in
// their TLS handshake.
const ALPN = "pushtunnel/1"

// DirectPreface is what either end of the direct transport sends first. Its first
// byte begins no other protocol: neither HTTP nor TLS, nor printable text.
const DirectPreface = "\xd1push1\r\n"

// ErrNotDirect is why a session fails whose peer has sent something that is not a
// direct transport's: it is an old server, a proxy, or something else. A peer that
// ends the connection without a word may be one of those, too, but need not.
var ErrNotDirect = status.Error(codes.Unavailable, "pushtunnel: the peer does not know the direct transport")

// DirectOptions are what a client says when it opens a direct transport.
type DirectOptions struct {
	// Name is the client's name.
	Name string
	// Metadata go along with it.
	Metadata metadata.MD
	// CallOptions are those of the gRPC stream in whose place the transport is. Of
	// them only grpc.PerRPCCredentials means something.
	CallOptions []grpc.CallOption
	// Authority is the host that such credentials are for.
	Authority string
	// Peer is the server, as far as it is known. If nil, its address is that of
	// the connection.
	Peer *peer.Peer
}

// DialDirect makes a transport of a connection that this end has dialled. The
// connection belongs to the transport from now on, and is closed if it fails; then
// the error is a status. Nothing is sent before the session's hello. Metadata of the
// outgoing context go along. ctx is for the credentials; the transport outlives it.
// The session fails with ErrNotDirect if the peer answers in another way.
//
// The transport has a method Confirmed() bool, for any goroutine: whether the peer's
// preface has come.
func DialDirect(ctx context.Context, conn net.Conn, o DirectOptions) (Transport, error) {
	t := newDirect(conn, o.Peer)
	out, _ := metadata.FromOutgoingContext(ctx)
	md := metadata.Join(sendableMetadata(out), sendableMetadata(lowerCase(o.Metadata)))
	for _, opt := range o.CallOptions {
		if _, ok := opt.(grpc.PerRPCCredsCallOption); !ok {
			continue
		}
		calls := callOptions{rareOptions: noRareOptions}
		err := calls.set(opt)
		var creds metadata.MD
		if err == nil {
			creds, err = calls.credentialsMetadata(ctx, &Config{Peer: t.peer, Remote: Peer{Name: o.Authority}}, ConnectMethod)
		}
		if err != nil {
			conn.Close()
			return nil, err
		}
		md = metadata.Join(md, creds)
	}
	setName(md, o.Name)
	if err := checkMetadata(md); err != nil {
		conn.Close()
		return nil, status.Error(codes.Internal, err.Error())
	}
	t.opening = wire.AppendSessionFrame([]byte(DirectPreface), wire.AppendHeader(nil, md))
	return t, nil
}

// lowerCase returns md with the keys that are sent. Those of a context are so already.
func lowerCase(md metadata.MD) metadata.MD {
	out := make(metadata.MD, len(md))
	for k, vs := range md {
		out.Append(k, vs...)
	}
	return out
}

// AcceptDirect makes a transport of a connection that the peer has dialled, once
// its metadata have come: maxMetadata bytes at most, counted as in Config. The
// connection belongs to the transport from now on, and is closed if it fails: then
// nothing has been sent, so that the client can tell that it should try something
// else. The error is ErrNotDirect if the peer has sent another preface. If p is nil,
// the peer is known by the connection's address alone.
//
// It blocks until the peer has sent all that, or somebody closes the connection.
// The transport sets no deadlines, and minds none that have passed.
func AcceptDirect(conn net.Conn, maxMetadata int, p *peer.Peer) (Transport, metadata.MD, error) {
	t := newDirect(conn, p)
	md, err := t.accept(maxMetadata)
	if err == nil {
		// At once: whether to let the client in may take a while to decide.
		_, err = conn.Write([]byte(DirectPreface))
	}
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return t, md, nil
}

func (t *direct) accept(maxMetadata int) (metadata.MD, error) {
	if err := t.readPreface(); err != nil {
		return nil, err
	}
	// Pairs are smaller on the wire than what they count for.
	limit := len(DirectPreface) + maxMetadata
	b := t.in.Buffered()
	for {
		n, malformed := wholeFrame(b)
		switch {
		case n > 0:
			var f wire.Frame
			frame, _, err := wire.NextFrame(b[:n])
			if err == nil {
				err = f.Unmarshal(frame)
			}
			if err == nil && (f.CallID != 0 || f.Parts&^wire.PartHeader != 0) {
				err = errOpening
			}
			if err != nil {
				return nil, err
			}
			md, bad, err := readMetadata(f.Header, maxMetadata)
			if err == nil {
				err = bad
			}
			t.in.Discard(n)
			return md, err
		case malformed:
			return nil, errMalformed
		case len(b) > limit:
			return nil, fmt.Errorf("pushtunnel: metadata above the limit of %d bytes", maxMetadata)
		}
		var err error
		if b, err = t.in.Peek(len(b) + 1); err != nil {
			return nil, err
		}
	}
}

// readPreface takes the peer's preface.
func (t *direct) readPreface() error {
	for n := 1; ; n++ {
		b, err := t.in.Peek(n)
		b = b[:min(len(b), len(DirectPreface))]
		switch {
		case !bytes.HasPrefix([]byte(DirectPreface), b):
			return ErrNotDirect
		case err != nil:
			return err
		case len(b) == len(DirectPreface):
			t.in.Discard(len(b))
			t.confirmed.Store(true)
			return nil
		}
	}
}

const (
	// frameTag begins each frame: Batch.frames.
	frameTag = 1<<3 | byte(protowire.BytesType)
	// maxFrame is how large a frame may be with what goes before it.
	maxFrame = wire.MaxBatch
	// maxVarint is how many bytes a length may have.
	maxVarint = 10
)

var (
	errMalformed = errors.New("pushtunnel: something other than frames")
	errOpening   = errors.New("pushtunnel: the first frame has something other than metadata")
)

// notFrames is what a session gets in the place of what can't be frames: a batch
// that is cut off. It tells the peer.
var notFrames = mem.SliceBuffer{frameTag}

// wholeFrame returns the size of the first frame of b, 0 if it isn't whole;
// malformed says that it never will be. That does not depend on how much of it
// has come.
func wholeFrame(b []byte) (n int, malformed bool) {
	if len(b) == 0 {
		return 0, false
	}
	if b[0] != frameTag {
		return 0, true
	}
	size, k := protowire.ConsumeVarint(b[1:])
	if k < 0 {
		return 0, len(b) > maxVarint
	}
	if size > maxFrame {
		return 0, true
	}
	if n = 1 + k + int(size); n > maxFrame {
		return 0, true
	}
	if n > len(b) {
		return 0, false
	}
	return n, false
}

// wholeFrames returns how many of the first bytes of b are whole frames that may
// go in one batch, and where the last of them begins. If there are none, malformed
// says that there never will be.
func wholeFrames(b []byte) (n, last int, malformed bool) {
	for n < len(b) {
		k, bad := wholeFrame(b[n:])
		if bad {
			return n, last, n == 0
		}
		if k == 0 || n+k > maxFrame {
			break
		}
		n, last = n+k, n
	}
	return n, last, false
}

// isClose reports whether a frame is the last one of its direction.
func isClose(frame []byte) bool {
	f, _, err := wire.NextFrame(frame)
	return err == nil && bytes.HasPrefix(f, closePart)
}

// closePart begins such a frame: the tag of Frame.close.
var closePart = bytes.TrimSuffix(wire.AppendClose(nil, nil), []byte{0})
