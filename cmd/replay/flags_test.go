package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"btcsniff/internal/cli"
)

func TestParseFlags(t *testing.T) {
	for _, c := range []struct {
		name, args string
		want       options // but for the shared flags
		sinks      string
	}{
		{"a file", "a.pcap", options{paths: []string{"a.pcap"}}, "btcsniff.duckdb"},
		{"flags behind paths", "a.pcap -q b.pcap --sink=x.duckdb", options{paths: []string{"a.pcap", "b.pcap"}}, "x.duckdb"},
		{"two dashes end the flags", "-v -- -q a.pcap", options{paths: []string{"-q", "a.pcap"}}, "btcsniff.duckdb"},
		{"two dashes behind a path", "a.pcap -- -q", options{paths: []string{"a.pcap", "-q"}}, "btcsniff.duckdb"},
		{"follow", "--follow --rm --workers 3 --sink jsonl:- --sink x.duckdb a", options{paths: []string{"a"}, follow: true, remove: true}, "jsonl:- x.duckdb"},
		{"password", "--sink postgres://u:secret@192.0.2.1/db --rm a", options{paths: []string{"a"}, remove: true}, "postgres://u:xxxxx@192.0.2.1/db"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseFlags(strings.Fields(c.args))
			if err != nil {
				t.Fatalf("parseFlags(%s): %v", c.args, err)
			}
			opts := cmp.Options{cmp.AllowUnexported(options{}), cmpopts.IgnoreFields(options{}, "Flags")}
			if diff := cmp.Diff(&c.want, got, opts); diff != "" {
				t.Errorf("parseFlags(%s) (-want +got):\n%s", c.args, diff)
			}
			var sinks []string
			for _, s := range got.Targets {
				sinks = append(sinks, s.Name)
			}
			if strings.Join(sinks, " ") != c.sinks {
				t.Errorf("parseFlags(%s): sinks %q, want %q", c.args, sinks, c.sinks)
			}
		})
	}
}

// Each usage error says what to type instead, and none shows a password.
func TestUsageErrors(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"no path", "-q", "no capture given: name files or directories"},
		{"unknown flag", "--frob a", "-frob"},
		{"following standard input", "--follow -", "standard input can't be followed"},
		{"dropping days in passing", "--retain 90d --sink postgres://u@192.0.2.1/db a", "--retain is for runs that go on for long"},
		{"dropping days of a file", "--follow --retain 90d a", "--retain is about Postgres databases"},
		{"deleting standard input", "--rm a -", "--rm can't delete standard input"},
		{"deleting what is only counted", "--rm --sink null: a", "--rm without a database"},
		{"deleting what goes to a pipe", "--rm --sink jsonl:- a", "--rm without a database"},
		{"comparing and storing", "--verify --sink null: a", "--verify stores nothing"},
		{"comparing standard input", "--verify -", "--verify stores nothing"},
		{"no workers", "--workers 0 a", "want a number from 1 to 64"},
		{"too many workers", "--workers 65 a", "want a number from 1 to 64"},
		{"no value", "a --sink", "flag needs an argument: -sink"},
		{"sink without scheme", "--sink records a", "want postgres://"},
		{"sink of another kind", "--sink mysql://u:secret@192.0.2.1/db a", "want postgres://"},
		{"sink without a file", "--sink jsonl: a", "want postgres://"},
		{"Postgres URL with a bad port", "--sink postgres://u:secret@192.0.2.1:x/db a", "no Postgres URL"},
		{"Postgres URL with a bad escape", "--sink postgres://u:secret%zz@192.0.2.1/db a", "no Postgres URL"},
		{"Postgres URL without slashes", "--sink postgres:secret a", "no Postgres URL"},
		{"one sink twice", "--sink x.duckdb --sink duckdb:x.duckdb a", "is given twice"},
		{"unknown network", "--network litecoin a", "want mainnet, testnet3"},
		{"local host name", "--local localhost a", "want an address or a network"},
		{"memory without number", "--memory lots a", "want a number of bytes"},
		{"no memory", "--memory 0 a", "want a number of bytes"},
		{"too much memory", "--memory 9999999999G a", "want a number of bytes"},
		{"log format", "--log-format xml a", "want text or json"},
		{"loud and quiet", "-v -q a", "give one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseFlags(strings.Fields(c.args))
			if cli.ExitCode(err) != 2 || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("parseFlags(%s) = %v, want a usage error of one line with %q and without passwords", c.args, err, c.want)
			}
		})
	}
}

// TestReadme checks that the README's table of flags is what -h prints.
func TestReadme(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
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
		t.Errorf("flags in README.md (-want +got):\n%s", diff)
	}
}

// TestHelpNotWritten prints help and the version to a device that is full.
func TestHelpNotWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"-h"}, {"--version"}} {
		var said strings.Builder
		err := run(t.Context(), args, strings.NewReader(""), full, &said)
		if code, want := cli.ExitCode(err), "replay: write /dev/full: no space left on device\n"; code != cli.Failed || said.String() != want {
			t.Errorf("replay %s: exit code %d, %q, want %d, %q", args, code, said.String(), cli.Failed, want)
		}
	}
}
