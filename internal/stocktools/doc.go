// Package stocktools tests that stock tools for gRPC work on clients through a gateway,
// unchanged: grpcurl, grpc-health-probe and ghz. It is a module of its own, so that what
// they import stays out of the library's.
//
// grpcurl is a library here. The programs run with "make interop-tools", which builds
// them as go.mod pins them; without PUSHTUNNEL_TOOLS their tests are skipped.
package stocktools
