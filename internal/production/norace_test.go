//go:build !race

package production

// raceEnabled says that memory is not what it is in production.
const raceEnabled = false
