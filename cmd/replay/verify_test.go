package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"btcsniff/internal/cli"
)

// TestVerify compares with tshark: it finds most of what is there, and nothing else.
func TestVerify(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not installed")
	}
	dir := recordings(t)
	t.Chdir(t.TempDir())
	for _, path := range []string{"ipv6/ipv6.pcap", "mainnet"} {
		var out, talk bytes.Buffer
		if err := run(t.Context(), []string{"--verify", filepath.Join(dir, path)}, nil, &out, &talk); err != nil {
			t.Fatalf("%v\n%s", err, talk.String())
		}
		for _, want := range []string{`(?m)^version +[1-9]\d* +0 +0 +0$`, `(?m)^ping +[1-9]\d* +\d+ +\d+ +0$`, `(?m)^verack +(\d+) +\d+$`} {
			if !regexp.MustCompile(want).MatchString(out.String()) {
				t.Errorf("%s: no line like %s in\n%s", path, want, out.String())
			}
		}
	}
	if left, _ := filepath.Glob("*"); len(left) > 0 {
		t.Errorf("it left %v behind", left)
	}
}

// TestVerifyWithoutTshark says how to install it.
func TestVerifyWithoutTshark(t *testing.T) {
	path := filepath.Join(recordings(t), "ipv6/ipv6.pcap")
	t.Setenv("PATH", t.TempDir())
	var out, talk bytes.Buffer
	err := run(t.Context(), []string{"--verify", "-q", path}, nil, &out, &talk)
	if cli.ExitCode(err) != 1 || !strings.Contains(talk.String(), "apt-get install tshark") || out.Len() > 0 {
		t.Errorf("run = %v, want exit code 1 and how to install tshark; it said:\n%s%s", err, out.String(), talk.String())
	}
}

// recordings is the folder of fixtures, wherever the test has gone to.
func recordings(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(pcaps)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
