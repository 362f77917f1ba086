package daemon

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size that is written as "65536", "64KiB", "4MiB" or "1GiB".
type Bytes int64

var units = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// UnmarshalText reads a size. It is not negative.
func (b *Bytes) UnmarshalText(text []byte) error {
	number, unit := strings.TrimSpace(string(text)), int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(n), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is no size: write 65536, 64KiB, 4MiB or 1GiB", text)
	}
	*b = Bytes(n * unit)
	return nil
}

// MarshalText writes the size with the largest unit that goes into it.
func (b Bytes) MarshalText() ([]byte, error) {
	for _, u := range units[:3] {
		if b != 0 && int64(b)%u.size == 0 {
			return fmt.Appendf(nil, "%d%s", int64(b)/u.size, u.name), nil
		}
	}
	return strconv.AppendInt(nil, int64(b), 10), nil
}
