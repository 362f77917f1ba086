package server

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Selector chooses clients by their labels. The zero value chooses all. It does
// not change, and may be used by any goroutine.
type Selector struct {
	text         string
	requirements []requirement
}

// requirement is what a selector asks of one label.
type requirement struct {
	key     string
	values  []string // one of them, or none of them; nil: any value
	negated bool
}

const (
	maxSelector     = 4 << 10 // bytes
	maxRequirements = 64
)

// ParseSelector reads a selector: requirements with commas between them, all of
// which must be met.
//
//	region=eu              the label has this value
//	tier!=free             it has another one, or is not there
//	zone in (a, b)         it has one of these values
//	zone notin (a, b)      it has none of them, or is not there
//	beta                   it is there
//	!legacy                it is not there
//
// A value is everything up to the next comma or parenthesis, without the spaces
// around it; in double quotes it may have those, too, and a backslash before a
// quote or a backslash. An empty text chooses all. It is a subset of the
// language of Kubernetes, but for the quotes.
func ParseSelector(text string) (Selector, error) {
	if len(text) > maxSelector {
		return Selector{}, fmt.Errorf("pushtunnel: a selector of %d bytes, above the limit of %d", len(text), maxSelector)
	}
	p := selectorParser{rest: text}
	s := Selector{text: text}
	p.skip()
	for more := p.rest != ""; more; {
		r, err := p.requirement()
		if err == nil {
			err = tunnel.CheckLabelKey(r.key)
		}
		if err == nil && len(s.requirements) == maxRequirements {
			err = fmt.Errorf("more than %d requirements", maxRequirements)
		}
		if more = p.take(","); err == nil && !more && p.rest != "" {
			err = errors.New("a comma is missing")
		}
		if err != nil {
			return Selector{}, fmt.Errorf("pushtunnel: selector %q, at byte %d: %w", text, len(text)-len(p.rest), err)
		}
		s.requirements = append(s.requirements, r)
	}
	return s, nil
}

// MustSelector is ParseSelector for texts that are in the program. It panics if the
// text is wrong.
func MustSelector(text string) Selector {
	s, err := ParseSelector(text)
	if err != nil {
		panic(err) //nolint:forbidigo // a mistake in the program
	}
	return s
}

// String returns what the selector was read from.
func (s Selector) String() string { return s.text }

// Matches reports whether the labels meet all requirements.
func (s Selector) Matches(labels map[string]string) bool {
	for _, r := range s.requirements {
		v, ok := labels[r.key]
		if r.values != nil {
			ok = ok && slices.Contains(r.values, v)
		}
		if ok == r.negated {
			return false
		}
	}
	return true
}

// Select returns those of the sessions whose labels meet the selector: the labels
// that the server has granted, not those that the client has claimed.
//
//	push.Sessions()               of the default namespace
//	server.Select(sel, push.All())  of all namespaces
func Select(sel Selector, sessions iter.Seq[*Session]) iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		for s := range sessions {
			if sel.Matches(s.Labels()) && !yield(s) {
				return
			}
		}
	}
}

// selectorParser reads from the front of rest.
type selectorParser struct{ rest string }

func (p *selectorParser) skip() { p.rest = strings.TrimLeft(p.rest, " \t") }

// take takes a token, and the spaces behind it, if it comes next.
func (p *selectorParser) take(token string) bool {
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = rest
		p.skip()
	}
	return ok
}

// word takes what is not a delimiter.
func (p *selectorParser) word(delimiters string) string {
	i := strings.IndexAny(p.rest, delimiters)
	if i < 0 {
		i = len(p.rest)
	}
	w := p.rest[:i]
	p.rest = p.rest[i:]
	p.skip()
	return strings.TrimRight(w, " \t")
}

// keyEnd are the bytes that a key ends before.
const keyEnd = " \t,=!()"

func (p *selectorParser) requirement() (r requirement, err error) {
	if p.take("!") {
		return requirement{key: p.word(keyEnd), negated: true}, nil
	}
	r.key = p.word(keyEnd)
	switch {
	case p.take("!="):
		r.negated = true
		r.values, err = p.one()
	case p.take("=="), p.take("="):
		r.values, err = p.one()
	case p.take("notin"):
		r.negated = true
		r.values, err = p.several()
	case p.take("in"):
		r.values, err = p.several()
	}
	return r, err
}

// one reads a value.
func (p *selectorParser) one() ([]string, error) {
	v, err := p.value()
	return []string{v}, err
}

// several reads values in parentheses.
func (p *selectorParser) several() (values []string, err error) {
	if !p.take("(") {
		return nil, errors.New("an opening parenthesis is missing")
	}
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		if p.take(")") {
			return values, nil
		}
		if !p.take(",") {
			return nil, errors.New("a closing parenthesis is missing")
		}
	}
}

func (p *selectorParser) value() (string, error) {
	rest, quoted := strings.CutPrefix(p.rest, `"`)
	if !quoted {
		v := p.word(",()")
		if strings.Contains(v, `"`) {
			return "", errors.New("a quote within a value")
		}
		return v, nil
	}
	p.rest = rest
	var v strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			p.skip()
			return v.String(), nil
		case c == '\\' && i+1 < len(p.rest):
			i++
			v.WriteByte(p.rest[i])
		default:
			v.WriteByte(c)
		}
	}
	return "", errors.New("a closing quote is missing")
}
