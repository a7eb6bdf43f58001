package cli

import (
	"os"
	"strings"
	"testing"
	"time"
)

// What is written while the line is shown stands above it, and nothing of the line is left at the end.
func TestProgress(t *testing.T) {
	var out strings.Builder
	p := NewProgress(&out, true)
	p.draw("line")
	if _, err := p.Write([]byte("sniff: warning\n")); err != nil {
		t.Fatal(err)
	}
	p.draw("line")
	p.Watch(time.Hour, func() string { return "" })()
	if want := "\x1b[?7lline\x1b[?7h\r\x1b[Ksniff: warning\n\x1b[?7lline\x1b[?7h\r\x1b[K"; out.String() != want {
		t.Errorf("terminal got %q, want %q", out.String(), want)
	}
}

func TestIsTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if IsTerminal(null) {
		t.Errorf("IsTerminal(%s) = true", os.DevNull)
	}
	if IsTerminal(&strings.Builder{}) {
		t.Error("IsTerminal of what is no file = true")
	}
}
