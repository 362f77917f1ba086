package tunnel

import (
	"testing"
	"testing/synctest"
)

// bubble runs a test with a clock of its own. It fails if a goroutine is left
// behind.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
