package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"netbraid/internal/ubuscmd"
	"netbraid/ubus"
)

// app is one run of the command line.
type app struct {
	in       io.Reader
	out, err io.Writer
	socket   string // of the ubus
	json     bool   // print what the daemon answers, as JSON
}

// socketEnv names the ubus socket when no option does.
const socketEnv = ubuscmd.SocketEnv

func defaultSocket() string {
	if s := os.Getenv(socketEnv); s != "" {
		return s
	}
	return ubus.DefaultSocket
}

// Main runs the command line args (args[0] is the name it was called by) and
// gives the exit code. Called by one of Names it is that program.
func Main(args []string, in io.Reader, out, errs io.Writer) int {
	a := &app{in: in, out: out, err: errs, socket: defaultSocket()}
	if code, ok := a.runProgram(args); ok {
		return code
	}
	name, rest := "netbraid", []string(nil)
	if len(args) > 0 {
		name, rest = filepath.Base(args[0]), args[1:]
	}
	root := a.byName(name)
	name = root.Name()
	silence(root)
	root.SetArgs(rest)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(context.Background())
	if err != nil && err.Error() != "" {
		fmt.Fprintf(errs, "%s: %s\n", name, err)
	}
	return exitCode(err)
}

// silence makes cobra leave errors to Main; wrong usage gets one line that
// says where to read on.
func silence(c *cobra.Command) {
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w (see: %s --help)", err, c.CommandPath())
	})
}

const rootLong = `netbraid keeps network interfaces as the configuration says: it reads OpenWrt's
/etc/config/network, brings devices, bridges, addresses and routes into place,
repairs what somebody else changes, and leaves alone what it did not make. It
answers on ubus as OpenWrt's netifd does.`

// root is the whole tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "netbraid",
		Short: "Keep network interfaces as the configuration says",
		Long:  rootLong,
		Example: `  netbraid daemon                  start the daemon
  netbraid status                  all interfaces at a glance
  netbraid check && netbraid plan  is the file right, and what would it change
  netbraid demo                    see it work, in a network of its own`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			msg := fmt.Sprintf("there is no command %q", args[0])
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				msg += "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return fmt.Errorf("%s (see: netbraid --help)", msg)
		},
		RunE: func(c *cobra.Command, _ []string) error {
			c.SetOut(a.err)
			_ = c.Help()
			return silent(exitFailed)
		},
		Version: version(),
	}
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true, Use: "no-help", GroupID: "more"})
	root.SetVersionTemplate("netbraid {{.Version}}\n")
	root.AddGroup(
		&cobra.Group{ID: "daemon", Title: "The daemon:"},
		&cobra.Group{ID: "look", Title: "Look:"},
		&cobra.Group{ID: "change", Title: "Change:"},
		&cobra.Group{ID: "more", Title: "More:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("daemon", a.daemonCmd())
	add("look", a.statusCmd(), a.devicesCmd(), a.mirrorCmd(), a.monitorCmd(), a.fibCmd(), a.checkCmd(), a.planCmd())
	add("change", a.upCmd(), a.downCmd(), a.renewCmd(), a.restartCmd(), a.reloadCmd(), a.pairCmd(), a.ovsCmd())
	add("more", a.demoCmd(), a.ubusCmd(), a.uciCmd(), a.jshnCmd(), a.completionCmd(), a.manCmd(), a.versionCmd())
	return root
}

// client adds the flags of a verb that talks to the daemon.
func (a *app) client(c *cobra.Command, json bool) *cobra.Command {
	c.Flags().StringVarP(&a.socket, "socket", "s", a.socket, "ubus `socket` (default from $"+socketEnv+" when set)")
	if json {
		c.Flags().BoolVar(&a.json, "json", false, "print what the daemon answers, as JSON")
	}
	return c
}

// oneName is exactly one argument, named in the error when it is missing.
func oneName(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return fmt.Errorf("which %s? (usage: %s)", what, c.UseLine())
		case len(args) > 1:
			return fmt.Errorf("one %s at a time, not %d (usage: %s)", what, len(args), c.UseLine())
		}
		return nil
	}
}

// atMostOne is no argument or one.
func atMostOne(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > 1 {
			return oneName(what)(c, args)
		}
		return nil
	}
}

// none is no argument at all.
func none(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is too much: %s takes no argument (see: %s --help)", args[0], c.Name(), c.CommandPath())
	}
	return nil
}
