// Package benchpb is the generated code of the benchmarks' own messages and
// services.
//
// To generate it again: go generate ./benchpb, in bench/, with protoc (Debian:
// protobuf-compiler) on the PATH. The plugins are tools of the go.mod above.
package benchpb

//go:generate sh generate.sh
