package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/internal/cli"
)

func TestFilterWords(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", ""},
		{"tcp port 8333", "tcp port 8333"},
		{"-i eth0 tcp port 8333 -c 7", "tcp port 8333"},
		{"-c 1 len - 4 > 100", "len - 4 > 100"},
		{"-c 1 -- -i eth0", "-i eth0"},
	} {
		opt, err := parseFlags(strings.Fields(tt.args))
		if err != nil || opt.filter != tt.want {
			t.Errorf("filter of %q = %q, %v, want %q", tt.args, opt.filter, err, tt.want)
		}
	}
}

// Each usage error says what to type instead, and none shows a password.
func TestUsageErrors(t *testing.T) {
	for _, tt := range []struct{ name, args, want string }{
		{"unknown flag", "--frob", "-frob"},
		{"no value", "-i", "flag needs an argument: -i"},
		{"sink", "--sink mysql://u:secret@192.0.2.1/db", "want postgres://"},
		{"small buffer", "-B 1", "-B 1: want KiB"},
		{"large snap length", "-s 300000", "-s 300000: want bytes"},
		{"rotation of nothing", "-G 10", "give it a -w DIR"},
		{"compression of nothing", "--zstd", "give it a -w DIR"},
		{"rotation without a time", "-w . -G -1", "-G -1: want seconds"},
		{"duration", "--duration -1s", "want a time above 0"},
		{"duration without a unit", "--duration 5", "invalid value"},
		{"workers", "--workers 0", "want a number from 1"},
		{"count", "-c many", "invalid value"},
		{"loud and quiet", "-v -q", "give one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseFlags(strings.Fields(tt.args))
			if cli.ExitCode(err) != cli.Usage || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("parseFlags(%s) = %v, want a usage error with %q", tt.args, err, tt.want)
			}
		})
	}
}

// TestPage checks that the page's table of flags is what -h prints.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/sniff.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	newFlags(&options{}).VisitAll(func(f *flag.Flag) {
		name, text := cli.FlagText(f)
		want = append(want, strings.ReplaceAll("`"+name+"`  "+text, "|", `\|`))
		if !strings.Contains(usage(), "\n  "+name+"\n") {
			t.Errorf("-h doesn't show %s", name)
		}
	})
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `-") {
			cells := strings.SplitN(strings.Trim(line, "| \n"), " | ", 2)
			got = append(got, strings.Join(cells, "  "))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flags in docs/sniff.md (-want +got):\n%s", diff)
	}
}

func TestVerifyThread(t *testing.T) {
	id := identity{uid: 65534, gid: 65534}
	good := "Name:\tsniff\nUid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\nCapInh:\t0000000000000000\n" +
		"CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n"
	if err := id.verifyThread(good); err != nil {
		t.Error(err)
	}
	for _, bad := range []struct{ name, old, new string }{
		{"saved user", "Uid:\t65534\t65534\t65534", "Uid:\t65534\t65534\t0"},
		{"group", "Gid:\t65534", "Gid:\t0"},
		{"permitted", "CapPrm:\t0000000000000000", "CapPrm:\t0000000000002000"},
		{"effective", "CapEff:\t0000000000000000", "CapEff:\t0000000000002000"},
		{"ambient", "CapAmb:\t0000000000000000", "CapAmb:\t0000000000002000"},
	} {
		if err := id.verifyThread(strings.Replace(good, bad.old, bad.new, 1)); err == nil {
			t.Errorf("%s of root is not noticed", bad.name)
		}
	}
}

// TestHelpNotWritten prints help and the version to a device that is full.
func TestHelpNotWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"-h"}, {"--version"}, {"-D"}} {
		var said strings.Builder
		err := run(t.Context(), args, nil, full, &said)
		if code, want := cli.ExitCode(err), "sniff: write /dev/full: no space left on device\n"; code != cli.Failed || said.String() != want {
			t.Errorf("sniff %s: exit code %d, %q, want %d, %q", args, code, said.String(), cli.Failed, want)
		}
	}
}
