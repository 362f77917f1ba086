// Package browser tests the admin page of "pushtunnel serve" in a real Chromium, with
// real clients. It is a module of its own, so that what drives Chromium stays out of the
// library's. "make interop-browser" runs it; without PUSHTUNNEL_CHROMIUM, the path of a
// Chromium, its tests are skipped.
package browser
