// Package javajson writes the values of Java programs, those of package java, as JSON,
// and reads them: what is written is read back as the same values. docs/CLI.md has the
// table.
//
// JSON is a tree of nil, bool, json.Number, string, []any and *object (tree.go).
// parse.go makes values of it, format.go is the inverse. Fields of objects are a case
// of their own, since their bytes do not say what they are: fields.go reads them,
// and guess.go chooses a form for them that is read back as the same bytes.
package javajson
