package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/internal/cli"
)

// TestWriteThrough writes a page into a named pipe, which is none that a file may take the place of.
func TestWriteThrough(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		}
		got <- string(b)
	}()
	err := writeWhole(name, func(w io.Writer) error {
		_, err := io.WriteString(w, "a page")
		return err
	})
	if text := <-got; err != nil || text != "a page" {
		t.Errorf("writeWhole = %v, and what came out was %q", err, text)
	}
	if info, err := os.Lstat(name); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the pipe is %v now (%v)", info.Mode(), err)
	}
}

// TestWriteWhole writes files, some of which can't be: the error names the file that was asked for, once, and nothing is left behind.
func TestWriteWhole(t *testing.T) {
	const page = "a page"
	all := func(w io.Writer) error {
		_, err := io.WriteString(w, page)
		return err
	}
	for _, tt := range []struct {
		name, file string
		write      func(io.Writer) error
		err        string // DIR is the folder
	}{
		{"all is well", "new.html", all, ""},
		{"another is there", "old.html", all, ""},
		{"no folder", "no/new.html", all, "open DIR/no/new.html: no such file or directory"},
		{"a folder has the name", "folder", all, "open DIR/folder: is a directory"},
		{"a device that is full", "full", all, "write DIR/full: no space left on device"},
		{"a disk that fails", "new.html", func(w io.Writer) error {
			return errors.Join(w.(io.Closer).Close(), all(w))
		}, "write DIR/new.html: file already closed"},
		{"it can't be made", "old.html", func(io.Writer) error { return errors.New("the database is away") }, "the database is away"},
		{"a folder took the name meanwhile", "new.html", func(w io.Writer) error {
			name := w.(*os.File).Name()
			return os.Mkdir(filepath.Join(filepath.Dir(name), "new.html"), 0o700)
		}, "write DIR/new.html: file exists"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "old.html"), []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/dev/full", filepath.Join(dir, "full")); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(dir, tt.file)
			said := ""
			if err := writeWhole(name, tt.write); err != nil {
				said = err.Error()
			}
			if diff := cmp.Diff(strings.ReplaceAll(tt.err, "DIR", dir), said); diff != "" {
				t.Errorf("writeWhole (-want +got):\n%s", diff)
			}
			read, want := name, page
			if tt.err != "" {
				read, want = filepath.Join(dir, "old.html"), "old"
			}
			if text, err := os.ReadFile(read); err != nil || string(text) != want {
				t.Errorf("%s has %q (%v), want %q", read, text, err, want)
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".*.partial")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

// TestHelpNotWritten prints help and the version to a device that is full.
func TestHelpNotWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"-h"}, {"list", "-h"}, {"--version"}} {
		var said strings.Builder
		err := run(t.Context(), args, full, &said)
		if code, want := cli.ExitCode(err), "firstseen: write /dev/full: no space left on device\n"; code != cli.Failed || said.String() != want {
			t.Errorf("firstseen %s: exit code %d, %q, want %d, %q", args, code, said.String(), cli.Failed, want)
		}
	}
}
