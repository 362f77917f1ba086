package mapping

import (
	"fmt"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// Request makes the request message of the arguments of a call,
// java.Body.Parameters; nil if there is none. The result is a protobuf message.
func (m *Method) Request(params []byte) ([]byte, error) {
	var elems [][]byte
	length := 0
	if params != nil {
		h, it, err := java.ParseArray(params)
		if err != nil {
			return nil, err
		}
		length = h.Len
		var room [8][]byte
		elems = room[:0]
		for {
			e, ok, err := it.Next()
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			elems = append(elems, e)
		}
	}
	if m.object {
		if length != 1 || len(elems) != 1 {
			return nil, fmt.Errorf("%d arguments, %d of them null; %s takes one object", length, length-len(elems), m.JavaMethod)
		}
		return m.request.fromDynamic(nil, elems[0], 0)
	}
	if length != len(m.params) {
		return nil, fmt.Errorf("%d arguments; %s takes %d", length, m.JavaMethod, len(m.params))
	}
	return m.arguments(elems)
}

// arguments assigns the arguments that are not null to the parameters. Java drops
// nulls, so which parameters were null is not on the wire: the last ones, unless
// the types allow only one other way.
func (m *Method) arguments(elems [][]byte) ([]byte, error) {
	size := 0
	for _, e := range elems {
		size += len(e)
	}
	places := m.align(elems)
	b := make([]byte, 0, size+8*len(elems))
	for i, e := range elems {
		f := m.params[places[i]]
		var err error
		if b, err = f.fromDynamic(b, e, 0); err != nil {
			return nil, fmt.Errorf("argument %d, %s: %w", places[i], f.name, err)
		}
	}
	return b, nil
}

// align returns the parameter of each argument.
func (m *Method) align(elems [][]byte) []int {
	places := make([]int, len(elems))
	for i := range places {
		places[i] = i
	}
	if len(elems) == len(m.params) || len(elems) == 0 {
		return places
	}
	// From the left each argument is put as early as it fits, from the right as
	// late; if both ways are the same there is but one.
	early, late := make([]int, len(elems)), make([]int, len(elems))
	p := 0
	for i, e := range elems {
		for p < len(m.params) && !m.params[p].takes(e) {
			p++
		}
		if p == len(m.params) {
			return places
		}
		early[i] = p
		p++
	}
	p = len(m.params) - 1
	for i := len(elems) - 1; i >= 0; i-- {
		for p >= 0 && !m.params[p].takes(elems[i]) {
			p--
		}
		if p < 0 {
			return places
		}
		late[i] = p
		p--
	}
	for i := range early {
		if early[i] != late[i] {
			return places
		}
	}
	return early
}

// takes reports whether a value can be that of the parameter.
func (f *field) takes(e []byte) bool {
	_, err := f.fromDynamic(nil, e, 0)
	return err == nil
}

// Response makes the response message of the result of a call, java.Body.Content.
// Without one the result was null, or there is none.
func (m *Method) Response(content []byte, present bool) ([]byte, error) {
	switch {
	case m.Void || !present:
		return nil, nil
	case m.result != nil:
		return m.result.fromDynamic(make([]byte, 0, len(content)+8), content, 0)
	default:
		return m.response.fromDynamic(make([]byte, 0, len(content)+8), content, 0)
	}
}
