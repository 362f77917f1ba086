// Package grpcurltest tests that grpcurl lists and calls the services of a client
// through a gateway. It is a module of its own, so that what grpcurl imports stays out
// of the library's.
package grpcurltest
