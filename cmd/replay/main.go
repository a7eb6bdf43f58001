// Command replay reads recorded captures of Bitcoin's peer-to-peer traffic and stores what the messages in them say: who
// announced what, when, to the microsecond. It opens files and sinks, and talks to its user; the work is done in
// internal/pipeline.
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
	os.Exit(cli.ExitCode(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)))
}

// run is the whole command. What went wrong has been written to stderr, one line each, when it returns; its error only
// decides on the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	opt, err := parseFlags(args)
	text := ""
	switch {
	case errors.Is(err, flag.ErrHelp):
		text = usage()
	case err != nil:
		fmt.Fprintf(stderr, "replay: %v (replay -h shows all flags)\n", cli.RedactErr(err))
		return err
	case opt.ShowVersion:
		text = fmt.Sprintf("replay (btcsniff) %s\n", cli.Version())
	}
	if text != "" {
		if _, err = io.WriteString(stdout, text); err != nil {
			fmt.Fprintf(stderr, "replay: %v\n", err)
		}
		return err
	}
	bar := cli.NewProgress(stderr, cli.IsTerminal(stderr) && !opt.Quiet && !opt.JSON)
	log := opt.NewLogger("replay", bar)
	if opt.verify {
		err = verify(ctx, opt, stdout, log)
	} else {
		err = replay(ctx, opt, stdin, stdout, bar, log)
	}
	if err != nil {
		for _, line := range cli.ErrorLines(err) {
			log.Error(line)
		}
		return err
	}
	return nil
}
