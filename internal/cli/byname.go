package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"netbraid/internal/config"
)

// The programs of OpenWrt that this binary is when it is called by their names.
// This is the one list of them.
var (
	// programs have options and exit codes of their own and need no tree of
	// commands. Scripts start them hundreds of times, so they run at once, also
	// as `netbraid NAME`.
	programs = map[string]func(a *app, prog string, args []string) int{
		"jshn": (*app).jshn,
		"ubus": (*app).ubus,
		"uci":  (*app).uci,
	}
	// namesakes are commands like the others, under a name of their own.
	namesakes = map[string]func(*app) *cobra.Command{
		"ifdown":   (*app).ifdownCmd,
		"ifstatus": (*app).ifstatusCmd,
		"ifup":     (*app).ifupCmd,
		"netifd":   (*app).netifdCmd,
	}
)

// Names are the names by which the binary can be called besides its own,
// sorted.
func Names() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(programs)), maps.Keys(namesakes))
	slices.Sort(names)
	return names
}

// runProgram runs the program that the command line args names, by the name of
// the binary or as `netbraid NAME`; ok is false when it names none.
func (a *app) runProgram(args []string) (code int, ok bool) {
	if len(args) == 0 {
		return 0, false
	}
	name, rest := filepath.Base(args[0]), args[1:]
	if run := programs[name]; run != nil {
		return run(a, name, rest), true
	}
	if namesakes[name] != nil || len(rest) == 0 {
		return 0, false
	}
	run := programs[rest[0]]
	if run == nil || len(rest) == 2 && rest[1] == "--help" { // help is the tree's
		return 0, false
	}
	return run(a, progName(rest[0]), rest[1:]), true
}

// progName is what `netbraid NAME` calls itself in messages: scripts look at
// those of uci and jshn.
func progName(name string) string {
	if name == "ubus" {
		return "netbraid ubus"
	}
	return name
}

// byName is the command of that name: one of the namesakes, or the whole tree
// of netbraid.
func (a *app) byName(name string) *cobra.Command {
	if namesake := namesakes[name]; namesake != nil {
		return namesake(a)
	}
	return a.root()
}

func (a *app) netifdCmd() *cobra.Command {
	c := a.daemonCmd()
	c.Use, c.Aliases = "netifd", nil
	return c
}

func (a *app) ifstatusCmd() *cobra.Command {
	return a.client(&cobra.Command{
		Use:     "ifstatus INTERFACE",
		Short:   "Print the status of an interface as JSON, as `ubus call network.interface status` does",
		Example: "  ifstatus wan | jq -r '.\"ipv4-address\"[0].address'",
		Args:    oneName("interface"),
		RunE: a.onBus(func(ctx context.Context, bus *client, args []string) error {
			t, err := bus.interfaceCall(ctx, args[0], "status")
			if err != nil {
				return err
			}
			return a.printJSON(t)
		}),
	}, false)
}

func (a *app) ifupCmd() *cobra.Command {
	return a.ifupdown("ifup", "Read the configuration again, then bring an interface down and up", a.ifup)
}

func (a *app) ifdownCmd() *cobra.Command {
	return a.ifupdown("ifdown", "Take an interface down", func(ctx context.Context, bus *client, name string) error {
		_, err := bus.interfaceCall(ctx, name, "down")
		return err
	})
}

func (a *app) ifupdown(name, short string, each func(context.Context, *client, string) error) *cobra.Command {
	var all bool
	c := a.client(&cobra.Command{
		Use:     name + " [-a | INTERFACE]",
		Short:   short,
		Example: "  " + name + " wan\n  " + name + " -a",
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) == 1) || len(args) > 1 {
				return fmt.Errorf("give -a or one interface (usage: %s)", c.UseLine())
			}
			bus, err := a.dial(c.Context())
			if err != nil {
				return err
			}
			defer bus.Close()
			if name == "ifup" {
				if err := a.readAgain(c.Context(), bus); err != nil {
					return err
				}
			}
			if all {
				if args, err = bus.interfaces(c.Context()); err != nil {
					return err
				}
			}
			var failed []error
			for _, n := range args {
				if all && n == "loopback" {
					continue // as OpenWrt's
				}
				failed = append(failed, each(c.Context(), bus, n))
			}
			return errors.Join(failed...)
		},
	}, false)
	c.Flags().BoolVarP(&all, "all", "a", false, "every interface but loopback")
	c.Flags().BoolP("wifi", "w", false, "accepted for compatibility; nothing is done for radios")
	return c
}

// ifup brings an interface down and up, as OpenWrt's ifup does.
func (a *app) ifup(ctx context.Context, bus *client, name string) error {
	if _, err := bus.interfaceCall(ctx, name, "down"); err != nil {
		return err
	}
	_, err := bus.interfaceCall(ctx, name, "up")
	return err
}

// readAgain reloads; a refused configuration is told and does not keep ifup
// from its work with the one in force.
func (a *app) readAgain(ctx context.Context, bus *client) error {
	r, err := bus.reload(ctx)
	if err != nil {
		return err
	}
	if r.ok {
		return nil
	}
	for _, p := range r.problems {
		if p.Severity == config.Error {
			fmt.Fprintln(a.err, p)
		}
	}
	fmt.Fprintln(a.err, "ifup: the changed configuration is refused; going on with the one in force")
	return nil
}
