// Package nginx runs a real nginx before a server with tunnels, for tests. It uses
// the configuration of deploy/nginx, with other addresses and shorter times. Its
// tests run with "make interop-nginx", which sets what Binary reads.
package nginx
