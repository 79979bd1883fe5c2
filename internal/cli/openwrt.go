package cli

import (
	"os"

	"github.com/spf13/cobra"

	"netbraid/internal/jshn"
	"netbraid/internal/ucicmd"
)

// What scripts written for OpenWrt call beside ubus: uci and jshn.

func (a *app) uci(prog string, args []string) int {
	return ucicmd.Main(prog, args, a.in, a.out, a.err)
}

func (a *app) jshn(prog string, args []string) int {
	return jshn.Main(prog, args, os.Environ(), a.out, a.err)
}

func (a *app) uciCmd() *cobra.Command {
	return a.programCmd(&cobra.Command{
		Use:   "uci [OPTIONS] COMMAND [ARGUMENTS]",
		Short: "Read and change configuration files, as OpenWrt's uci does",
		Long: `OpenWrt's uci: show, get, set, add, add_list, del_list, delete, rename, reorder,
changes, revert, commit, export, import, batch, with its options, output and exit
codes. Changes wait in /tmp/.uci until commit; OpenWrt's uci may be used on the
same files. Called by the name uci this binary is the same.

A commit loses the comments of the file, as the original's does. What it cannot
read in a delta file it says, and leaves there.`,
		Example: `  netbraid uci show network.lan
  netbraid uci set network.lan.ipaddr=192.168.1.1/24
  netbraid uci changes
  netbraid uci commit network && netbraid reload`,
	})
}

func (a *app) jshnCmd() *cobra.Command {
	return a.programCmd(&cobra.Command{
		Use:   "jshn [-n] [-i] [-p PREFIX] -r JSON | -R FILE | -w | -o FILE",
		Short: "Turn JSON into shell variables and back, as OpenWrt's jshn does",
		Long: `OpenWrt's jshn, which its shell library jshn.sh calls: -r and -R print a JSON
object as calls of that library, -w and -o write the library's exported variables
as JSON. Called by the name jshn this binary is the same.

  -r JSON    print the code for this object
  -R FILE    print the code for the object in a file
  -w         write JSON to standard output
  -o FILE    write JSON to a file
  -n         no newline behind the JSON
  -i         JSON on several lines
  -p PREFIX  the variables' names begin with this`,
		Example: `  netbraid jshn -r '{"proto":"static","mtu":1500}'
  . /usr/share/libubox/jshn.sh; json_load "$(ifstatus wan)"; json_get_var up up`,
	})
}

// programCmd is the place of a program in the tree of commands, for its help;
// it is run without the tree, see runProgram.
func (a *app) programCmd(c *cobra.Command) *cobra.Command {
	c.DisableFlagParsing = true
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 1 && args[0] == "--help" {
			return c.Help()
		}
		if code := programs[c.Name()](a, progName(c.Name()), args); code != 0 {
			return silent(code)
		}
		return nil
	}
	return c
}
