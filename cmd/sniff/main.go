// Command sniff records Bitcoin's peer-to-peer traffic from network interfaces as it passes: who announced what, when, to the
// microsecond. It opens interfaces and sinks, drops its rights, and talks to its user; the work is done in internal/pipeline.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"btcsniff/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal finds the default again and stops the process at once
	ask := make(chan os.Signal, 1)
	signal.Notify(ask, syscall.SIGUSR1)
	os.Exit(cli.ExitCode(run(ctx, os.Args[1:], ask, os.Stdout, os.Stderr)))
}

// run is the whole command; what comes through ask asks for a line of status. What went wrong has been written to stderr,
// one line each, when it returns; its error only decides on the exit code.
func run(ctx context.Context, args []string, ask <-chan os.Signal, stdout, stderr io.Writer) error {
	opt, err := parseFlags(args)
	text := ""
	switch {
	case errors.Is(err, flag.ErrHelp):
		text = usage()
	case err != nil:
		fmt.Fprintf(stderr, "sniff: %v (sniff -h shows all flags)\n", cli.RedactErr(err))
		return err
	case opt.ShowVersion:
		text = fmt.Sprintf("sniff (btcsniff) %s\n", cli.Version())
	}
	if text != "" {
		if _, err = io.WriteString(stdout, text); err != nil {
			fmt.Fprintf(stderr, "sniff: %v\n", err)
		}
		return err
	}
	bar := cli.NewProgress(stderr, cli.IsTerminal(stderr) && !opt.Quiet && !opt.JSON)
	log := opt.NewLogger("sniff", bar)
	if opt.list {
		err = listInterfaces(stdout)
	} else {
		err = sniff(ctx, opt, ask, stdout, bar, log)
	}
	if err != nil {
		for _, line := range cli.ErrorLines(err) {
			log.Error(line)
		}
	}
	return err
}
