package cli_test

import (
	"fmt"

	"btcsniff/internal/cli"
)

func Example() {
	var flags cli.Flags
	fs := cli.NewFlagSet("sniff")
	flags.Declare(fs, "the addresses of the interfaces", "the host name")
	err := fs.Parse([]string{"--sink", "postgres://u:secret@192.0.2.1/db", "--sensor", "fra1"})
	if err == nil {
		err = flags.Check()
	}
	fmt.Println(flags.Targets[0].Name, flags.Sensor, cli.ExitCode(err))
	// Output: postgres://u:xxxxx@192.0.2.1/db fra1 0
}
