package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"btcsniff/internal/tshark"
)

// TestTruth holds what btcsniff finds in a fixture and in a generated capture against the truth: it is all of it, and nothing else.
func TestTruth(t *testing.T) {
	t.Chdir("../..")
	fixed, err := fixture("lossy/lossy.pcap")
	if err != nil {
		t.Fatal(err)
	}
	r := generated()[0]
	made, err := r.sample(filepath.Join(t.TempDir(), "x.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*sample{fixed, made} {
		got, err := s.score(func(each func(tshark.Sighting)) error { return replay(t.Context(), s.files, each) })
		if err != nil {
			t.Fatal(err)
		}
		if got.found != uint64(len(s.truth)) || got.false != 0 || s.timed && got.times != 0 || got.found == 0 {
			t.Errorf("%s: %+v, want all of %d, and nothing else", s.name, got, len(s.truth))
		}
	}
}

// TestInsert replaces the table of a page, and no page that has no place for it.
func TestInsert(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	for _, tt := range []struct{ page, want string }{
		{"a\n" + begin + end + "b\n", "a\n" + begin + "new\n" + end + "b\n"},
		{"a\n" + begin + "old\n" + end + "b\n", "a\n" + begin + "new\n" + end + "b\n"},
		{"a\nb\n", ""},
	} {
		if err := os.WriteFile(path, []byte(tt.page), 0o600); err != nil {
			t.Fatal(err)
		}
		err := insert(path, "new\n")
		if tt.want == "" {
			if err == nil || !strings.Contains(err.Error(), "has no place for the table") {
				t.Errorf("insert into %q = %v, want an error", tt.page, err)
			}
			continue
		}
		if got, _ := os.ReadFile(path); err != nil || string(got) != tt.want {
			t.Errorf("insert into %q = %q, %v, want %q", tt.page, got, err, tt.want)
		}
	}
}
