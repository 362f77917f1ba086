package mapping

import (
	"fmt"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// AppendParameters appends the arguments of a call, java.Body.Parameters, made of
// the request message. A parameter that is not set is null; Java cannot be sent a
// null that is followed by something else.
func (m *Method) AppendParameters(b, request []byte) ([]byte, error) {
	if m.object {
		b = java.AppendArrayHeader(b, java.ArrayHeader{Component: java.ObjectClass, Len: 1, Dims: 1})
		b, _, err := element(b, 1, func(b []byte) ([]byte, bool, error) { return m.request.appendDynamic(b, request, 0) })
		return b, err
	}
	b = java.AppendArrayHeader(b, java.ArrayHeader{Component: java.ObjectClass, Len: len(m.params), Dims: 1})
	var room [8]record
	rs, err := m.request.records(request, room[:0])
	if err != nil {
		return nil, err
	}
	var null *field
	for _, f := range m.params {
		out, isNull, err := element(b, 1, func(b []byte) ([]byte, bool, error) {
			return f.appendDynamic(b, recordsOf(rs, f.place), 0)
		})
		if err != nil {
			return nil, err
		}
		if isNull {
			null = f
			continue
		}
		if null != nil {
			return nil, fmt.Errorf("%s is not set but %s, which follows it, is: a Java peer would take the one for the other; set both", null.name, f.name)
		}
		b = out
	}
	return b, nil
}

// AppendContent appends the result of a call, java.Body.Content, made of the
// response message. null says that the result is null, and nothing was appended:
// it has no encoding.
func (m *Method) AppendContent(b, response []byte) (out []byte, null bool, err error) {
	switch {
	case m.Void:
		// Java callers need some content to see the end of a void call.
		return append(b, byte(java.IDBoolean)<<3, 1), false, nil
	case m.result != nil:
		var room [8]record
		rs, err := m.response.records(response, room[:0])
		if err != nil {
			return nil, false, err
		}
		out, null, err := m.result.appendDynamic(b, rs, 0)
		if null && m.zeroNull {
			f := *m.result
			f.presence = false
			return f.appendDynamic(b, nil, 0)
		}
		return out, null, err
	default:
		return m.response.appendDynamic(b, response, 0)
	}
}
