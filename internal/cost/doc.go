// Package cost has tests of what calls cost, in counts that do not depend on the
// speed of the machine: allocations, and system calls. So cost cannot creep back
// unseen. The race detector changes the counts: "make test" runs these tests
// without it.
package cost
