// Command firstseen answers questions to a recorded database: who announced a transaction first, by how much, from where, and how
// sure that is. It reads flags, opens the database and prints; the answers are package analyze's.
//
// A command is a file of its own with one variable of type command, which the table commands names. Its setup declares the
// command's own flags and returns what runs it; see list.go for a short one. Flags --db, --timeout, --json and --csv are there
// already, call.open gives the database, and call.table prints rows for people or for programs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"btcsniff/internal/cli"
	"btcsniff/internal/legible"
)

// A command is one kind of question.
type command struct {
	name  string
	args  string // what it takes beside flags, as in HASH; "": nothing
	about string // what it does, in a sentence without its stop
	pages bool   // what it writes is no table: its -h does not tell of --json and --csv, which it refuses
	more  string // what its -h says besides, in lines
	// timeout is for each of the many answers of a command that goes on until it is stopped, where --timeout says nothing else. 0: the
	// command gives one answer.
	timeout time.Duration
	// setup declares the command's own flags on fs, and returns what runs the command once they are read. That returns a
	// cli.UsageError for what it wants otherwise on the command line.
	setup func(fs *flag.FlagSet) func(ctx context.Context, c *call) error
}

// commands are all there are, in the order in which -h shows them.
func commands() []command {
	return []command{
		txCommand,
		listCommand,
		peersCommand,
		blocksCommand,
		crossingsCommand,
		nodesCommand,
		exportCommand,
		reportCommand,
		geoCommand,
		serveCommand,
	}
}

// A call is one run of a command.
type call struct {
	args    []string // beside flags
	stdout  io.Writer
	stderr  io.Writer
	format  format
	json    bool          // as given
	csv     bool          // as given
	db      string        // as given
	timeout time.Duration // for the whole answer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal finds the default again and stops the process at once
	os.Exit(cli.ExitCode(run(ctx, os.Args[1:], os.Stdout, os.Stderr)))
}

// run is the whole program. What went wrong has been written to stderr when it returns; its error only decides on the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	err := dispatch(ctx, args, stdout, stderr)
	if err != nil {
		err = interrupted(ctx, err)
		for _, line := range cli.ErrorLines(err) {
			fmt.Fprintf(stderr, "firstseen: %s\n", legible.Text(line))
		}
	}
	return err
}

// interrupted puts in plain words that the user stopped the command.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// dispatch finds the command and runs it.
func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return cli.UsageError{Err: fmt.Errorf("which question? want one of %s (firstseen -h explains them)", names())}
	}
	switch strings.TrimLeft(args[0], "-") {
	case "h", "help":
		if len(args) > 1 && args[1] != "help" && !strings.HasPrefix(args[1], "-") {
			return dispatch(ctx, []string{args[1], "-h"}, stdout, stderr)
		}
		return show(stdout, usage())
	case "version":
		return show(stdout, fmt.Sprintf("firstseen (btcsniff) %s\n", cli.Version()))
	}
	for _, cmd := range commands() {
		if cmd.name != args[0] {
			continue
		}
		err := cmd.call(ctx, args[1:], stdout, stderr)
		if errors.Is(err, flag.ErrHelp) {
			return show(stdout, cmd.usage())
		}
		return err
	}
	if strings.HasPrefix(args[0], "-") {
		return cli.UsageError{Err: fmt.Errorf("%s: flags come behind a command, as in firstseen list --db URL: want one of %s (firstseen -h explains them)",
			args[0], names())}
	}
	return cli.UsageError{Err: fmt.Errorf("unknown command %s: want one of %s (firstseen -h explains them)", args[0], names())}
}

// show writes what is no answer.
func show(stdout io.Writer, text string) error {
	_, err := io.WriteString(stdout, text)
	return err
}

// call reads the command line and runs the command.
func (cmd *command) call(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := &call{stdout: stdout, stderr: stderr, timeout: cmd.timeout}
	fs := cli.NewFlagSet("firstseen " + cmd.name)
	do := cmd.setup(fs)
	err := c.parse(fs, args)
	if err == nil && cmd.args == "" && len(c.args) > 0 {
		err = cli.UsageError{Err: fmt.Errorf("unexpected %s", c.args[0])}
	}
	if err == nil {
		limited, cancel := ctx, func() {}
		if cmd.timeout == 0 {
			limited, cancel = context.WithTimeout(ctx, c.timeout)
		}
		defer cancel()
		if err = do(limited, c); errors.Is(limited.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("%s: no answer within %v: ask for less, or give it more --timeout", cmd.name, c.timeout)
		}
	}
	if errors.As(err, new(cli.UsageError)) && !errors.Is(err, flag.ErrHelp) {
		return cli.UsageError{Err: fmt.Errorf("%s: %w (firstseen %s -h shows all flags)", cmd.name, err, cmd.name)}
	}
	return err
}

// parse reads the command line. The error is flag.ErrHelp or a cli.UsageError.
func (c *call) parse(fs *flag.FlagSet, args []string) (err error) {
	c.declare(fs)
	c.declareFormats(fs)
	if c.args, err = cli.Parse(fs, args); err != nil {
		return err
	}
	switch {
	case c.timeout <= 0:
		return cli.UsageError{Err: fmt.Errorf("--timeout %v: want a time above 0, as in 30s or 1h", c.timeout)}
	case c.json && c.csv:
		return cli.UsageError{Err: errors.New("--json and --csv contradict each other: give one")}
	}
	c.format = forPeople
	if c.json {
		c.format = asJSON
	} else if c.csv {
		c.format = asCSV
	}
	return nil
}

// declare declares the flags that all commands have and explain.
func (c *call) declare(fs *flag.FlagSet) {
	fs.Func("db", "the recorded database: `URL` is postgres://... or a DuckDB file; default btcsniff.duckdb", func(s string) error {
		c.db = s // parsed later: the flag package's errors quote the value, which may hold a password
		return nil
	})
	timeout, text := 10*time.Minute, "give up after `D`, as in 30s or 1h; default 10m"
	if c.timeout > 0 {
		timeout, text = c.timeout, fmt.Sprintf("give up an answer after `D`, as in 30s or 1h; default %v", c.timeout)
	}
	fs.DurationVar(&c.timeout, "timeout", timeout, text)
}

// declareFormats declares the flags that say in which form rows are printed.
func (c *call) declareFormats(fs *flag.FlagSet) {
	fs.BoolVar(&c.json, "json", false, "print a JSON object a line, for programs")
	fs.BoolVar(&c.csv, "csv", false, "print CSV, for spreadsheets")
}

// names lists the commands.
func names() string {
	var list []string
	for _, cmd := range commands() {
		list = append(list, cmd.name)
	}
	return strings.Join(list, ", ")
}

// usage is what -h prints.
func usage() string {
	var b strings.Builder
	b.WriteString("usage: firstseen COMMAND [flags]\n\nAnswers questions to a database that replay or sniff recorded.\n\n")
	for _, cmd := range commands() {
		fmt.Fprintf(&b, "  %s\n        %s\n", strings.TrimSpace(cmd.name+" "+cmd.args), cmd.about)
	}
	b.WriteString("\nfirstseen COMMAND -h shows a command's flags. Exit codes: 0 all done, 1 something failed, 2 wrong usage.\n")
	return b.String()
}

// usage is what the command's -h prints.
func (cmd *command) usage() string {
	fs := cli.NewFlagSet(cmd.name)
	cmd.setup(fs)
	c := &call{timeout: cmd.timeout}
	c.declare(fs)
	if !cmd.pages {
		c.declareFormats(fs)
	}
	more := cmd.more
	if more != "" {
		more = strings.TrimSpace(more) + "\n\n"
	}
	return fmt.Sprintf("usage: firstseen %s [flags]\n\n%s.\n\n%s%s", strings.TrimSpace(cmd.name+" "+cmd.args), cmd.about, more, cli.FlagList(fs))
}
