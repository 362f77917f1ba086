package java

import (
	"math/big"
	"unicode/utf16"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// AppendString appends a string with its length. Characters beyond the basic plane
// are written in standard UTF-8, which Java reads; Java itself writes each as two
// surrogates (StringSerializer), and cannot read that back since Java 8.
func AppendString(b []byte, s string) []byte { return protowire.AppendString(b, s) }

// DecodeString returns the text of what a Java peer has written: UTF-8, or CESU-8
// with a pair of surrogates of three bytes each for one character. What is
// neither becomes U+FFFD.
func DecodeString(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	out := make([]byte, 0, len(b)+8)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n <= 1 {
			if pair, ok := surrogates(b); ok {
				r, n = pair, 6
			}
		}
		out = utf8.AppendRune(out, r)
		b = b[max(n, 1):]
	}
	return string(out)
}

// surrogates returns the character of which b begins with the two surrogates.
func surrogates(b []byte) (rune, bool) {
	if len(b) < 6 {
		return 0, false
	}
	unit := func(b []byte) rune {
		if b[0] != 0xed || b[1]&0xe0 != 0xa0 || b[2]&0xc0 != 0x80 {
			return 0
		}
		return 0xd000 | rune(b[1]&0x3f)<<6 | rune(b[2]&0x3f)
	}
	r := utf16.DecodeRune(unit(b), unit(b[3:]))
	return r, r != utf8.RuneError
}

// AppendBigInteger appends the bytes of a BigInteger, as its toByteArray returns
// them: two's complement, the most significant byte first, one at least.
func AppendBigInteger(b []byte, v *big.Int) []byte {
	if v.Sign() >= 0 {
		n := v.BitLen()/8 + 1 // with room for the sign
		return append(b, v.FillBytes(make([]byte, n))...)
	}
	// -v-1 has the bits of v, turned over.
	w := new(big.Int).Not(v)
	n := w.BitLen()/8 + 1
	bytes := w.FillBytes(make([]byte, n))
	for i := range bytes {
		bytes[i] = ^bytes[i]
	}
	return append(b, bytes...)
}

// ParseBigInteger is the inverse of AppendBigInteger. It takes bytes that are not
// minimal, too, but at least one.
func ParseBigInteger(b []byte) (*big.Int, error) {
	if len(b) == 0 {
		return nil, errorf("an empty BigInteger")
	}
	v := new(big.Int).SetBytes(b)
	if b[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8)) //nolint:gosec // not negative
	}
	return v, nil
}
