package tunnel

import (
	"strings"
	"testing"
)

const (
	lastPhase = phaseClosed
	lastEvent = eventFail
)

// TestPhase names every pair that is allowed; all others are not.
func TestPhase(t *testing.T) {
	type pair struct {
		p phase
		e event
	}
	allowed := map[pair]phase{
		{phaseHeader, eventHeader}:      phaseMessages,
		{phaseHeader, eventWhole}:       phaseMessages, // the header was empty
		{phaseHeader, eventFirst}:       phasePieces,
		{phaseHeader, eventEnd}:         phaseClosed, // and so was the answer
		{phaseHeader, eventFail}:        phaseClosed,
		{phaseMessages, eventWhole}:     phaseMessages,
		{phaseMessages, eventFirst}:     phasePieces,
		{phaseMessages, eventHalfClose}: phaseClosed,
		{phaseMessages, eventEnd}:       phaseClosed,
		{phaseMessages, eventFail}:      phaseClosed,
		{phasePieces, eventPiece}:       phasePieces,
		{phasePieces, eventLast}:        phaseMessages,
		{phasePieces, eventFail}:        phaseClosed, // in the middle of a message
	}
	for p := range lastPhase + 1 {
		for e := range lastEvent + 1 {
			got, err := p.next(e)
			want, ok := allowed[pair{p, e}]
			switch {
			case ok && (err != nil || got != want):
				t.Errorf("%v in the phase %v: got %v and the error %v, want %v", e, p, got, err, want)
			case !ok && (err == nil || got != p):
				t.Errorf("%v in the phase %v: got %v and the error %v, want an error and the same phase", e, p, got, err)
			case !ok && !(strings.Contains(err.Error(), e.String()) && strings.Contains(err.Error(), p.String())):
				t.Errorf("%v in the phase %v: got the error %q, want one that names both", e, p, err)
			}
		}
	}
}
