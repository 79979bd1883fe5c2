package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"netbraid/ubus"
)

// action is what a verb does, as cobra wants it.
type action = func(c *cobra.Command, args []string) error

// onBus is a verb that talks to the daemon: do has a connection for as long as
// it takes.
func (a *app) onBus(do func(ctx context.Context, bus *client, args []string) error) action {
	return func(c *cobra.Command, args []string) error {
		bus, err := a.dial(c.Context())
		if err != nil {
			return err
		}
		defer bus.Close()
		return do(c.Context(), bus, args)
	}
}

// show is a verb that shows what ask has got from the daemon: with --json as it
// is, else as write prints it.
func (a *app) show(
	ask func(ctx context.Context, bus *client, args []string) (ubus.Table, error),
	write func(w io.Writer, t ubus.Table, args []string, colour bool) error,
) action {
	return a.onBus(func(ctx context.Context, bus *client, args []string) error {
		t, err := ask(ctx, bus, args)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(t)
		}
		return write(a.out, t, args, colours(a.out))
	})
}

// only asks for the one that is named on the command line, or for all.
func only(key string, args []string) ubus.Table {
	if len(args) == 0 {
		return nil
	}
	return ubus.Table{{Name: key, Value: args[0]}}
}

// each makes of what prints a list what prints the answer that has it.
func each(list string, write func(io.Writer, []ubus.Table, bool) error) func(io.Writer, ubus.Table, []string, bool) error {
	return func(w io.Writer, t ubus.Table, _ []string, colour bool) error {
		return write(w, tables(t, list), colour)
	}
}
