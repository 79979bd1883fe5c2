package cli

import (
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"netbraid/internal/ubuscmd"
)

// ubus is OpenWrt's ubus, options and exit codes included.
func (a *app) ubus(prog string, args []string) int {
	f, ok := a.err.(*os.File)
	return ubuscmd.Main(prog, args, a.in, a.out, a.err, ok && term.IsTerminal(int(f.Fd())))
}

func (a *app) ubusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "ubus [-s SOCKET] [-t SECONDS] [-S] [-v] COMMAND [ARGUMENTS]",
		Short: "Talk to any object on the bus, as OpenWrt's ubus does",
		Long: `OpenWrt's ubus: list, call, subscribe, listen, send, wait_for, monitor, with its
options, output and exit codes. Called by the name ubus this binary is the same.`,
		Example: `  netbraid ubus list
  netbraid ubus -v list network.interface
  netbraid ubus call network.interface status '{"interface":"wan"}'
  netbraid ubus listen network.interface`,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "--help" {
				return c.Help()
			}
			if code := a.ubus("netbraid ubus", args); code != 0 {
				return silent(code)
			}
			return nil
		},
	}
}
