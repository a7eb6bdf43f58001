package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// writeWhole writes a file that appears under its name when it is whole, or not at all. A device or pipe is written to as it is.
func writeWhole(name string, write func(io.Writer) error) error {
	if special(name) {
		return writeTo(name, os.O_WRONLY, write)
	}
	return replace(name, func(partial string) error {
		return writeTo(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, write)
	})
}

// special says whether there is something of that name that is no ordinary file: it must not be replaced by one.
func special(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.Mode().IsRegular()
}

// writeTo writes into a file that is opened with these flags.
func writeTo(name string, flags int, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, flags, 0o666)
	if err != nil {
		return err
	}
	err = write(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// replace has fill make a file of another name, .NAME.RANDOM.partial, and gives it its own when it is whole and on disk. What goes
// wrong is said of the name.
func replace(name string, fill func(partial string) error) error {
	partial := filepath.Join(filepath.Dir(name), fmt.Sprintf(".%s.%08x.partial", filepath.Base(name), rand.Uint32()))
	err := fill(partial)
	if err == nil {
		err = store(partial)
	}
	if err == nil {
		err = os.Rename(partial, name)
	}
	if err == nil {
		return nil
	}
	os.Remove(partial) //nolint:errcheck // it may not be there
	if link := (*os.LinkError)(nil); errors.As(err, &link) {
		return &fs.PathError{Op: "write", Path: name, Err: link.Err}
	}
	if text := err.Error(); strings.Contains(text, partial) {
		return errors.New(strings.ReplaceAll(text, partial, name))
	}
	return err
}

// store waits until a file's bytes are on disk: a name must not be older than what it stands for.
func store(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
