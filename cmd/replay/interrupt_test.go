package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"btcsniff/internal/cli"
)

// A signal ends reading, also from a pipe in which nothing comes any more: what was read is written, the summary counts it, and
// the exit code says that not everything was read.
func TestInterrupt(t *testing.T) {
	recorded, err := os.ReadFile("../../testdata/pcaps/ipv6/ipv6.pcap")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdin, feed := io.Pipe()
	stdout, results := io.Pipe()
	go func() {
		feed.Write(recorded) //nolint:errcheck // an error would show below as records that are missing
		cancel()             // nothing comes any more, but no end either
	}()
	var talk strings.Builder
	done := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"--sink", "jsonl:-", "--local", "192.0.2.10", "-"}, stdin, results, &talk)
		results.Close()
		done <- err
	}()

	n := 0
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		n++
	}
	if err := <-done; cli.ExitCode(err) != 1 {
		t.Errorf("run = %v, want an error with exit code 1", err)
	}
	if n == 0 {
		t.Error("no record of what was read was written")
	}
	for _, want := range []string{fmt.Sprintf("stored       %d new records into jsonl:-", n), "replay: interrupted: "} {
		if !strings.Contains(talk.String(), want) {
			t.Errorf("standard error has no %q:\n%s", want, talk.String())
		}
	}
}

// A signal before anything was read is no disaster either.
func TestInterruptedAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, talk strings.Builder
	err := run(ctx, []string{"--sink", "jsonl:-", "../../testdata/pcaps/ipv6"}, strings.NewReader(""), &out, &talk)
	if cli.ExitCode(err) != 1 || !strings.Contains(talk.String(), "replay: interrupted: ") {
		t.Errorf("run = %v, want that it was interrupted; it said:\n%s", err, talk.String())
	}
}
