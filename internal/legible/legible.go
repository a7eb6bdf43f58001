// Package legible writes text that somebody else chose so that it can be read and does no harm: a peer's user agent, the name of a
// file. Markup and formulas of spreadsheets it leaves to those who write pages and CSV.
package legible

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is s with what doesn't print as Go escapes: control characters, which a terminal acts on, marks that turn the order of text around,
// and bytes that are no UTF-8.
func Text(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return s
	}
	return Cut(s, math.MaxInt)
}

// Cut is Text of at most so many of the characters of s, with … in place of those left out.
func Cut(s string, most int) string {
	var b strings.Builder
	for n := 0; len(s) > 0; n++ {
		if n == most {
			b.WriteString("…")
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}
