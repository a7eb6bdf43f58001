package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reopen opens a folder as another process would, and closes what it had open.
func reopen(t *testing.T, old *files, dir string, limit int64) *files {
	t.Helper()
	if old != nil {
		old.close()
	}
	f, err := openFiles(dir, "place", limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	return f
}

func add(t *testing.T, f *files, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		if err := f.append(header{kind: batchEntry, records: uint32(len(b)), first: start}, []byte(b), false); err != nil {
			t.Fatal(err)
		}
	}
}

// drainAll removes all entries and returns them; those that can't be read as "?".
func drainAll(t *testing.T, f *files) (bodies []string) {
	t.Helper()
	for {
		h, b, _, err := f.first()
		switch {
		case errors.Is(err, errDone):
			return bodies
		case err != nil && h.kind == 0:
			t.Fatalf("first: %v", err)
		case err != nil:
			bodies = append(bodies, "?")
		default:
			bodies = append(bodies, string(b))
		}
		f.remove()
	}
}

func spoolFiles(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	f := reopen(t, nil, dir, 1<<20)
	if got := drainAll(t, f); got != nil {
		t.Errorf("an empty folder holds %q", got)
	}
	add(t, f, "one", "two")
	f = reopen(t, f, dir, 1<<20)
	add(t, f, "three")
	if w := f.waiting(); w.entries != 3 || w.records != 11 || w.own != 5 || w.oldest != start {
		t.Errorf("waiting() = %+v, want 3 entries of 11 records, 5 its own", w)
	}
	if diff := cmp.Diff([]string{"one", "two", "three"}, drainAll(t, f)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if w := f.waiting(); w != (waiting{}) {
		t.Errorf("waiting() = %+v, want nothing", w)
	}
	if left := spoolFiles(t, dir); len(left) > 0 {
		t.Errorf("all is stored, and there are still %q", left)
	}
	add(t, f, "four")
	if diff := cmp.Diff([]string{"four"}, drainAll(t, f)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// TestTorn cuts the last file at every byte, as a kill in the middle of writing does: whole entries stay, and no other.
func TestTorn(t *testing.T) {
	dir := t.TempDir()
	f := reopen(t, nil, dir, 1<<20)
	add(t, f, "one", "twotwo", "threethreethree")
	name := spoolFiles(t, dir)[0]
	f.close()
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head := fileHead + len("place")
	ends := []int{head + headerLen + 3, head + 2*headerLen + 9, head + 3*headerLen + 24}
	for n := range len(whole) + 1 {
		for _, zeros := range []int{0, 50} { // a crash of the machine may leave room that was never written
			if err := os.WriteFile(name, append(bytes.Clone(whole[:n]), make([]byte, zeros)...), 0o600); err != nil {
				t.Fatal(err)
			}
			if n < head && zeros > 0 && n > 0 {
				continue // part of a file's beginning, and zeros: not ours by its look, and not touched
			}
			f := reopen(t, nil, dir, 1<<20)
			add(t, f, "four")
			want := []string{"one", "twotwo", "threethreethree"}
			kept := 0
			for kept < 3 && n >= ends[kept] {
				kept++
			}
			if diff := cmp.Diff(append(want[:kept:kept], "four"), drainAll(t, f)); diff != "" {
				t.Fatalf("cut at %d, %d zeros: entries (-want +got):\n%s", n, zeros, diff)
			}
			f.close()
		}
	}
}

// TestFlipped changes each byte of a file in turn: all other entries are still found.
func TestFlipped(t *testing.T) {
	dir := t.TempDir()
	f := reopen(t, nil, dir, 1<<20)
	add(t, f, "one", "twotwo", "threethreethree", "4")
	name := spoolFiles(t, dir)[0]
	f.close()
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := fileHead + len("place")
	for k, want := range []string{"one", "twotwo", "threethreethree"} {
		end := at + headerLen + len(want)
		for i := at; i < end; i++ {
			bad := bytes.Clone(whole)
			bad[i] ^= 0x40
			if err := os.WriteFile(name, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			f := reopen(t, nil, dir, 1<<20)
			got := drainAll(t, f)
			f.close()
			rest := []string{"one", "twotwo", "threethreethree", "4"}
			if i < at+headerLen {
				rest = append(rest[:k:k], rest[k+1:]...)
			} else {
				rest[k] = "?"
			}
			if diff := cmp.Diff(rest, got); diff != "" {
				t.Fatalf("byte %d changed: entries (-want +got):\n%s", i, diff)
			}
		}
		at = end
	}
}

// TestLimit fills the folder: then nothing is added but what may go beyond, until a file is stored and deleted.
func TestLimit(t *testing.T) {
	dir := t.TempDir()
	const limit = 4 * minFile
	f := reopen(t, nil, dir, limit)
	body := string(bytes.Repeat([]byte("x"), minFile/4))
	n := 0
	h := header{kind: batchEntry, records: 1}
	for ; ; n++ {
		err := f.append(h, []byte(body), false)
		if errors.Is(err, errFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if w := f.waiting(); n < 12 || w.bytes > limit {
		t.Errorf("%d entries of %d bytes, %d bytes in all, limit %d", n, len(body), w.bytes, limit)
	}
	if files := spoolFiles(t, dir); len(files) != 4 {
		t.Errorf("%d files, want 4", len(files))
	}
	if err := f.append(h, []byte("small"), true); err != nil {
		t.Errorf("beyond the limit: %v", err)
	}
	for range 4 {
		if _, _, _, err := f.first(); err != nil {
			t.Fatal(err)
		}
		f.remove()
	}
	if err := f.append(h, []byte(body), false); err != nil {
		t.Errorf("after a file was stored: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		use     bool
	}{
		{"in use", func(t *testing.T, dir string) { reopen(t, nil, dir, 1<<20) }, true},
		{"another place", func(t *testing.T, dir string) {
			f, err := openFiles(dir, "other", 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			add(t, f, "one")
			f.close()
		}, true},
		{"another version", func(t *testing.T, dir string) {
			b := fmt.Appendf(nil, "%s\x09\x00\x00", fileMagic)
			if err := os.WriteFile(filepath.Join(dir, "0000000000000001.spool"), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"no spool", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "0000000000000001.spool"), []byte("a letter of mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"no folder", func(t *testing.T, dir string) {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "spool")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			tt.prepare(t, dir)
			f, err := openFiles(dir, "place", 1<<20)
			if err == nil {
				f.close()
				t.Fatal("opens")
			}
			if got := errors.As(err, new(*UseError)); got != tt.use {
				t.Errorf("%v is a UseError: %v, want %v", err, got, tt.use)
			}
		})
	}
}
