// Package cli is what the commands have in common: the flags that they share, sinks by their URL, logging, the line at the
// bottom of a terminal, the summary and exit codes. What a command does it leaves to the command.
package cli

import (
	"errors"
	"io"
	"os"
	"runtime/debug"
	"strings"
)

// A UsageError says what is wrong with a command line and what to type instead.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e UsageError) Unwrap() error { return e.Err }

// Exit codes.
const (
	Done   = 0 // all done
	Failed = 1 // something failed
	Usage  = 2 // wrong usage
)

// ExitCode is the process's after err.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return Done
	case errors.As(err, new(UsageError)):
		return Usage
	}
	return Failed
}

// Version is what the go command recorded of the source that the program was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown version"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value
		}
	}
	return v + " " + info.GoVersion
}

// Failures are several things that went wrong. Each is a line.
type Failures []error

func (f Failures) Error() string { return errors.Join(f...).Error() }

// ErrorLines returns a line for each thing that went wrong.
func ErrorLines(err error) (lines []string) {
	var all Failures
	if !errors.As(err, &all) {
		all = Failures{err}
	}
	for _, e := range all {
		lines = append(lines, oneLine(RedactErr(e).Error()))
	}
	return lines
}

// oneLine is an error's text in one line: what stood in lines of its own, as errors that were joined do, is told apart.
func oneLine(text string) string {
	one := ""
	for line := range strings.Lines(text) {
		words := strings.Join(strings.Fields(line), " ")
		switch {
		case words == "" || words == "^": // DuckDB points at a word of the line before
		case one == "" || strings.ContainsAny(one[len(one)-1:], ".:;,!?"):
			one = strings.TrimSpace(one + " " + words)
		default:
			one += "; " + words
		}
	}
	return one
}

// IsTerminal says whether w is a terminal that understands how a line is erased.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	fi, err := f.Stat()
	if err != nil || fi.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device, too
	return err != nil || !os.SameFile(fi, null)
}
