package cli

import (
	"strings"
	"testing"
)

// TestHostileNames says and sums up what is wrong with a file whose name would clear a terminal: each stays a line.
func TestHostileNames(t *testing.T) {
	const name = "\x1b[2J\nreplay: all is well\u202e.pcap"
	var said strings.Builder
	new(Flags).NewLogger("replay", &said).Warn(name+": empty", "by", name)
	const want = `replay: warning: \x1b[2J\nreplay: all is well\u202e.pcap: empty by=\x1b[2J\nreplay: all is well\u202e.pcap` + "\n"
	if said.String() != want {
		t.Errorf("said %q, want %q", said.String(), want)
	}
	said.Reset()
	(&Summary{Closes: true, Problems: []Problem{{Path: name}}}).Write(&said)
	if strings.Contains(said.String(), "\x1b") || !strings.Contains(said.String(), "\nnot read     1 file, see the errors below: \\x1b[2J\\nreplay") {
		t.Errorf("the summary is %q", said.String())
	}
}
