package certs

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
)

// source is a value that is made of files. Anybody may load it; one goroutine at a
// time refreshes it.
type source[T any] struct {
	atomic.Pointer[T]
	what  string // for the log
	files []string
	parse func(contents ...[]byte) (*T, error)

	last    [][]byte // what the value was made of
	failure string   // why the files cannot be used; empty if they can
}

// refresh reads the files, and reports whether there is something to tell: a new
// value, or, with an error, a new reason why there is none.
func (s *source[T]) refresh() (news bool, err error) {
	contents, err := s.read()
	if err == nil && s.Load() != nil && slices.EqualFunc(contents, s.last, bytes.Equal) {
		news = s.failure != "" // what was good is back
		s.failure = ""
		return news, nil
	}
	var value *T
	if err == nil {
		if value, err = s.parse(contents...); err != nil {
			err = fmt.Errorf("%s: %w", strings.Join(slices.Compact(slices.Clone(s.files)), ", "), err)
		}
	}
	if err != nil {
		news = s.failure != err.Error()
		s.failure = err.Error()
		return news, err
	}
	s.Store(value)
	s.last, s.failure = contents, ""
	return true, nil
}

// read reads the files, each once.
func (s *source[T]) read() ([][]byte, error) {
	contents := make([][]byte, len(s.files))
	for i, name := range s.files {
		if first := slices.Index(s.files, name); first < i {
			contents[i] = contents[first]
			continue
		}
		var err error
		if contents[i], err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	return contents, nil
}
