package native

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// FrameType says what a frame is. The numbers are fixed by brpc-java (SPHead),
// whatever the layout of the head.
type FrameType int32

const (
	// TypeRequest is a call from client to server.
	TypeRequest FrameType = 0
	// TypeResponse is the answer to a TypeRequest.
	TypeResponse FrameType = 1
	// TypePush is a call from server to client.
	TypePush FrameType = 2
	// TypePushResponse is the answer to a TypePush.
	TypePushResponse FrameType = 3
	// TypeRegister is a client's name, or another call that gets no answer.
	TypeRegister FrameType = 4
	// TypeRegisterResponse is the answer to a TypeRegister; brpc-java never sends it.
	TypeRegisterResponse FrameType = 5
)

// String names the type.
func (t FrameType) String() string {
	names := [...]string{"request", "response", "push", "push response", "register", "register response"}
	if t < 0 || int(t) >= len(names) {
		return fmt.Sprintf("type %d", int32(t))
	}
	return names[t]
}

// Head is what the head of a frame says.
type Head struct {
	Type FrameType
	// CorrelationID finds the call of an answer. Each end counts its own.
	CorrelationID int64
	// LogID is for people, and may be 0.
	LogID int64
	// Body is the size of the body in bytes.
	Body int
}

// HeadCodec is the layout of a frame's head. Its methods may be called by any
// goroutine.
type HeadCodec interface {
	// Name names the layout, in the registry.
	Name() string
	// Size is how many bytes a head has, 1 to 1024. It is constant.
	Size() int
	// Append appends the head to b.
	Append(b []byte, h Head) []byte
	// Parse reads a head from Size bytes. An error ends the connection.
	Parse(b []byte) (Head, error)
}

// BRPC is the head of brpc-java 2.5.3 and later: 48 bytes, little-endian
// (DefaultSPHead).
//
//	offset  bytes  field
//	     0      2  id, 0
//	     2      2  version, 1
//	     4      8  log id
//	    12      8  correlation id
//	    20     16  provider, text padded with zeros; empty
//	    36      4  magic number 0xfb201906
//	    40      4  type
//	    44      4  size of the body
//
// Like a Java peer it reads any id, version and provider.
var BRPC HeadCodec = brpcHead{}

type brpcHead struct{}

const (
	brpcHeadSize    = 48
	brpcMagic       = 0xfb201906
	brpcMagicOffset = 36
)

func (brpcHead) Name() string { return "brpc" }
func (brpcHead) Size() int    { return brpcHeadSize }

func (brpcHead) Append(b []byte, h Head) []byte {
	le := binary.LittleEndian
	b = append(b, 0, 0, 1, 0)
	b = le.AppendUint64(b, uint64(h.LogID))         //nolint:gosec // the same bits
	b = le.AppendUint64(b, uint64(h.CorrelationID)) //nolint:gosec // the same bits
	b = append(b, make([]byte, 16)...)
	b = le.AppendUint32(b, brpcMagic)
	b = le.AppendUint32(b, uint32(h.Type))    //nolint:gosec // the same bits
	return le.AppendUint32(b, uint32(h.Body)) //nolint:gosec // bounded by the frame's limit
}

func (brpcHead) Parse(b []byte) (Head, error) {
	le := binary.LittleEndian
	if magic := le.Uint32(b[brpcMagicOffset:]); magic != brpcMagic {
		if le.Uint32(b[28:]) == brpcMagic {
			return Head{}, errors.New("the peer is brpc-java 2.5.0 to 2.5.2, whose head has 40 bytes; see native.HeadCodec")
		}
		return Head{}, fmt.Errorf("magic number %#08x, want %#08x", magic, uint32(brpcMagic))
	}
	return Head{
		Type:          FrameType(le.Uint32(b[40:])),  //nolint:gosec // the same bits
		LogID:         int64(le.Uint64(b[4:])),       //nolint:gosec // the same bits
		CorrelationID: int64(le.Uint64(b[12:])),      //nolint:gosec // the same bits
		Body:          int(int32(le.Uint32(b[44:]))), //nolint:gosec // the same bits; the sign is checked
	}, nil
}

// heads are the layouts that go by a name.
var heads struct {
	mu     sync.RWMutex
	byName map[string]HeadCodec
}

// RegisterHeadCodec makes a layout known by its name, in the place of one that
// has the same. BRPC is known as "brpc".
func RegisterHeadCodec(c HeadCodec) {
	heads.mu.Lock()
	defer heads.mu.Unlock()
	if heads.byName == nil {
		heads.byName = make(map[string]HeadCodec)
	}
	heads.byName[c.Name()] = c
}

// HeadCodecByName returns the layout that was registered by this name.
func HeadCodecByName(name string) (HeadCodec, bool) {
	if name == BRPC.Name() {
		return BRPC, true
	}
	heads.mu.RLock()
	defer heads.mu.RUnlock()
	c, ok := heads.byName[name]
	return c, ok
}
