package v2

import (
	"strings"
	"testing"
)

func TestParseKeys(t *testing.T) {
	var (
		a    = strings.Repeat("0a", 64)
		b    = strings.Repeat("0B", 64)
		c    = strings.Repeat("0c", 64)
		d    = strings.Repeat("0d", 64)
		s    = strings.Repeat("5e", 32)
		u    = strings.Repeat("5f", 32)
		line = label + " " + a + " " + b + " " + s
	)
	for _, tt := range []struct {
		name, in string
		sessions int
		err      string
	}{
		{"nothing", "", 0, ""},
		{"one", line + "\n", 1, ""},
		{"no line end", line, 1, ""},
		{"comments, empty lines, other line ends", "# of node n1\r\n\r\n" + line + "\r\n  # " + s + "\r\n", 1, ""},
		{"blanks and tabs", "  " + strings.ReplaceAll(line, " ", "\t ") + "  ", 1, ""},
		{"two", line + "\n" + label + " " + c + " " + d + " " + s, 2, ""},
		{"the same twice", line + "\n" + line, 1, ""},
		{"another label", "CLIENT_RANDOM " + a + " " + b + " " + s, 0,
			"key log, line 1: does not begin with BIP324_SHARED_SECRET"},
		{"a field less", "\n" + label + " " + a + " " + b, 0,
			"key log, line 2: 3 fields, want 4: BIP324_SHARED_SECRET, the initiator's key, the responder's key, the shared secret"},
		{"cut", line[:len(line)-1], 0, "key log, line 1: shared secret has 63 characters, want 64 hex digits"},
		{"key too long", label + " " + a + "00 " + b + " " + s, 0, "key log, line 1: initiator's key has 130 characters, want 128 hex digits"},
		{"no hex digits", label + " " + a + " " + strings.Replace(b, "0", "Z", 1) + " " + s, 0,
			"key log, line 1: responder's key has characters that are no hex digits"},
		{"two secrets for one key", line + "\n" + label + " " + a + " " + c + " " + u, 2, ""},
		{"endless line", line + "\n" + strings.Repeat("0", 1<<20), 0, "key log, after line 1: bufio.Scanner: token too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := ParseKeys(strings.NewReader(tt.in))
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if k.Len() != tt.sessions {
				t.Errorf("%d sessions, want %d", k.Len(), tt.sessions)
			}
		})
	}
}

// Whatever a key log has, no error shows a part of a line that may be a secret.
func TestErrorsShowNoSecrets(t *testing.T) {
	const shown = "f00dfeed"
	line := label + " " + strings.Repeat("0a", 64) + " " + strings.Repeat("0b", 64) + " " + strings.Repeat(shown, 8)
	for i := range line {
		for _, bad := range []string{line[:i], line[i:], line[:i] + "zz" + line[i:], line[:i] + " " + line[i:], line + line[i:]} {
			if _, err := ParseKeys(strings.NewReader(bad)); err != nil && strings.Contains(err.Error(), shown) {
				t.Fatalf("the error for %q shows it: %v", bad, err)
			}
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add(string(read(f, "core-28.1.keys")))
	f.Add("# nothing\n")
	f.Fuzz(func(t *testing.T, in string) {
		k, err := ParseKeys(strings.NewReader(in))
		if (k == nil) == (err == nil) {
			t.Errorf("ParseKeys(%q) = %v, %v", in, k, err)
		}
	})
}
