package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"netbraid/internal/config"
)

// byName is the command that the binary is when it is called ifup, ifdown or
// ifstatus, as OpenWrt has them.
func (a *app) byName(name string) *cobra.Command {
	switch name {
	case "ifstatus":
		return a.client(&cobra.Command{
			Use:     "ifstatus INTERFACE",
			Short:   "Print the status of an interface as JSON, as `ubus call network.interface status` does",
			Example: "  ifstatus wan | jq -r '.\"ipv4-address\"[0].address'",
			Args:    oneName("interface"),
			RunE: func(c *cobra.Command, args []string) error {
				bus, err := a.dial(c.Context())
				if err != nil {
					return err
				}
				defer bus.Close()
				t, err := bus.interfaceCall(c.Context(), args[0], "status")
				if err != nil {
					return err
				}
				return a.printJSON(t)
			},
		}, false)
	case "ifup":
		return a.ifupdown("ifup", "Read the configuration again, then bring an interface down and up", a.ifup)
	}
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
