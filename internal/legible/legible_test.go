package legible_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"btcsniff/internal/legible"
)

func Example() {
	fmt.Println(legible.Text("/Satoshi:28.1.0/\x1b[2J"))
	fmt.Println(legible.Cut("/Satoshi:28.1.0/", 8))
	// Output:
	// /Satoshi:28.1.0/\x1b[2J
	// /Satoshi…
}

var cases = []struct{ name, in, want string }{
	{"nothing", "", ""},
	{"plain", "/Satoshi:28.1.0/", "/Satoshi:28.1.0/"},
	{"letters of all kinds", "żółw 🐢", "żółw 🐢"},
	{"control characters", "a\x1b[2J\r\nb\x00\x7f", `a\x1b[2J\r\nb\x00\x7f`},
	{"control characters of Latin-1", "\u009b31m", `\u009b31m`},
	{"other direction", "\u202etxt.exe", `\u202etxt.exe`},
	{"no UTF-8", "\xff\xfe", `\xff\xfe`},
	{"a replacement character that is one", "a\ufffd", "a\ufffd"},
	{"joined with nothing", "a\u200bb\ufeff", `a\u200bb\ufeff`},
	{"a space that doesn't break", "a\u00a0b", `a\u00a0b`},
}

func TestText(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := legible.Text(c.in); got != c.want {
				t.Errorf("Text(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestCut(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n := utf8.RuneCountInString(c.in)
			if got := legible.Cut(c.in, n); got != c.want {
				t.Errorf("Cut(%q, %d) = %q, want %q", c.in, n, got, c.want)
			}
			if n == 0 {
				return
			}
			got := legible.Cut(c.in, n-1)
			if rest, cut := strings.CutSuffix(got, "…"); !cut || !strings.HasPrefix(c.want, rest) || len(rest) >= len(c.want) {
				t.Errorf("Cut(%q, %d) = %q, want less of %q, and a mark", c.in, n-1, got, c.want)
			}
		})
	}
}

func FuzzText(f *testing.F) {
	for _, c := range cases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := legible.Text(s)
		if i := strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || !utf8.ValidString(got) || len(got) < len(s) {
			t.Errorf("Text(%q) = %q", s, got)
		}
	})
}
