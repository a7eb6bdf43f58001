package v2

import (
	"strings"
	"testing"
)

func TestMessage(t *testing.T) {
	for _, tt := range []struct {
		name, in         string
		command, payload string
		err              error
	}{
		{"first short id", "\x01abc", "addr", "abc", nil},
		{"inv", "\x0eabc", "inv", "abc", nil},
		{"last short id", "\x1c", "addrv2", "", nil},
		{"short id that nobody knows", "\x1dabc", "id 29", "abc", nil},
		{"highest short id", "\xff", "id 255", "", nil},
		{"long", "\x00version\x00\x00\x00\x00\x00abc", "version", "abc", nil},
		{"long, all 12 bytes", "\x00abcdefghijklmno", "abcdefghijkl", "mno", nil},
		{"long, no name", "\x00" + strings.Repeat("\x00", 12) + "abc", "", "abc", nil},
		{"nothing", "", "", "", errMessage},
		{"name cut", "\x00version\x00\x00\x00\x00", "", "", errMessage},
		{"bytes after the padding", "\x00version\x00\x00x\x00\x00", "", "", errMessage},
		{"not printable", "\x00ver\x01ion\x00\x00\x00\x00\x00", "", "", errMessage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			command, payload, err := Message([]byte(tt.in))
			if command != tt.command || string(payload) != tt.payload || err != tt.err {
				t.Errorf("Message(%q) = %q, %q, %v, want %q, %q, %v", tt.in, command, payload, err, tt.command, tt.payload, tt.err)
			}
		})
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte("\x0eabc"))
	f.Add([]byte("\x00version\x00\x00\x00\x00\x00abc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		command, payload, err := Message(b)
		if err == nil && (len(payload) >= len(b) || len(command) > 12) {
			t.Errorf("Message(%x) = %q, %d bytes", b, command, len(payload))
		}
	})
}
