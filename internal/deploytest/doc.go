// Package deploytest tests what is in deploy/docker, deploy/systemd and
// deploy/kubernetes, as far as that goes without Docker, systemd as the first process,
// and a cluster. It is a module of its own, so that the types of Kubernetes stay out of
// the library's.
package deploytest
