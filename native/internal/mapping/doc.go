// Package mapping turns messages of gRPC methods into what Java programs send and
// take, and back. It knows descriptors and bytes, and no Go types: a plan is made
// of a service's descriptor once, and converts one encoding to the other.
//
// An object with plain fields is nearly the same in both: the fields' numbers and
// the protobuf encoding. What differs is in types.go, encode.go and decode.go: how
// a declared field, and a value whose type the reader does not know, are written.
package mapping
