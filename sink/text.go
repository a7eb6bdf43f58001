package sink

import "unicode/utf8"

const digits = "0123456789abcdef"

// AppendText appends s, which a peer may have chosen, as every sink stores it: valid UTF-8 as it is, each byte that isn't as
// \x and two hex digits. NUL, which Postgres can't store, counts as such a byte.
func AppendText(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == 0 || r == utf8.RuneError && n == 1 {
			b = append(b, '\\', 'x', digits[s[i]>>4], digits[s[i]&15])
		} else {
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return b
}

// Text returns s as AppendText writes it: mostly s itself.
func Text(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] == 0 || s[i] >= utf8.RuneSelf {
			return string(AppendText(make([]byte, 0, len(s)+16), s))
		}
	}
	return s
}
