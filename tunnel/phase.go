package tunnel

import "fmt"

// phase is how far the receiving half of a call has come. The drawing is in
// docs/PROTOCOL.md.
type phase uint8

const (
	// phaseHeader: the caller waits for the response header.
	phaseHeader phase = iota
	// phaseMessages: messages may come. A handler's call begins here.
	phaseMessages
	// phasePieces: a message has begun and more of its pieces must come.
	phasePieces
	// phaseClosed: the peer has said that it sends no more.
	phaseClosed
)

// event is what can come for a call.
type event uint8

const (
	eventHeader    event = iota
	eventWhole           // a message in one piece
	eventFirst           // the first of several pieces
	eventPiece           // one of several pieces, neither first nor last
	eventLast            // the last of several pieces
	eventHalfClose       // the caller sends no more
	eventEnd             // the handler has ended the call, with status OK
	eventFail            // the handler has ended the call, with another status
)

// next returns the phase after e, or an error if e may not come now.
func (p phase) next(e event) (phase, error) {
	switch e {
	case eventHeader:
		if p == phaseHeader {
			return phaseMessages, nil
		}
	case eventWhole:
		if p == phaseHeader || p == phaseMessages {
			return phaseMessages, nil
		}
	case eventFirst:
		if p == phaseHeader || p == phaseMessages {
			return phasePieces, nil
		}
	case eventPiece:
		if p == phasePieces {
			return phasePieces, nil
		}
	case eventLast:
		if p == phasePieces {
			return phaseMessages, nil
		}
	case eventHalfClose:
		if p == phaseMessages {
			return phaseClosed, nil
		}
	case eventEnd:
		if p == phaseHeader || p == phaseMessages {
			return phaseClosed, nil
		}
	case eventFail:
		if p != phaseClosed {
			return phaseClosed, nil
		}
	}
	return p, fmt.Errorf("%v in the phase %v of a call", e, p)
}

func (p phase) String() string {
	return [...]string{"header", "messages", "pieces", "closed"}[p]
}

func (e event) String() string {
	return [...]string{
		"a header", "a message", "a first piece", "a piece", "a last piece", "a half close", "an end", "a failed end",
	}[e]
}
