// Package pythonpeer tests the Python client of examples/python-client against this
// server. Its tests are skipped unless "make interop-python" runs them.
package pythonpeer
