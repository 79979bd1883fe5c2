// Command netbraid keeps network interfaces configured: the daemon and its
// command line in one binary. Run `netbraid --help`.
//
// What lives here: the call of package cli. What must not: anything else.
package main

import (
	"os"

	"netbraid/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args, os.Stdin, os.Stdout, os.Stderr)) }
