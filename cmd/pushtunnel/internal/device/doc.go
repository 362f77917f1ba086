// Package device plays a client: it serves the calls of any method, tells what comes, and
// answers as it is told. It needs no generated code, and no schema if bytes will do.
package device
