// Package docs checks the documentation. It has tests only: links lead
// somewhere, and what the README shows of programs is what they are. See also
// tunnel/protocol_doc_test.go and examples/quickstart.
package docs
