package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"netbraid/ubus"
)

// group is a command that only has commands below it.
func (a *app) group(use, short, example string, below ...*cobra.Command) *cobra.Command {
	var names []string
	for _, c := range below {
		names = append(names, c.Name())
	}
	g := &cobra.Command{
		Use: use, Short: short, Example: example,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("%s what? there is %s (see: %s --help)", c.Name(), strings.Join(names, ", "), c.CommandPath())
			}
			return fmt.Errorf("there is no command %q of %s; there is %s (see: %s --help)", args[0], c.Name(), strings.Join(names, ", "), c.CommandPath())
		},
		RunE: func(*cobra.Command, []string) error { return nil }, // Args refuses everything
	}
	g.AddCommand(below...)
	return g
}

// change calls a method that answers what is wrong with its arguments, as a
// reload does, and prints that; done is said when nothing is.
func (a *app) change(c *cobra.Command, bus *client, object, method string, args ubus.Table, done string) error {
	t, err := bus.call(c.Context(), object, method, args)
	if err != nil {
		return err
	}
	var problems []string
	errs := 0
	for _, p := range tables(t, "problems") {
		pr := problemOf(p)
		text := pr.Section + ": "
		if pr.Option != "" {
			text += fmt.Sprintf("option %s '%s': ", pr.Option, pr.Value)
		}
		text += pr.Reason
		if pr.Allowed != "" {
			text += " (allowed: " + pr.Allowed + ")"
		}
		problems = append(problems, strings.TrimPrefix(text, ": "))
		if s, _ := p.String("severity"); s != "warning" {
			errs++
		}
	}
	ok, _ := t.Bool("ok")
	switch {
	case a.json:
		if err := a.printJSON(t); err != nil || ok {
			return err
		}
		return silent(exitFailed)
	case !ok && len(problems) > 0:
		return errors.New(strings.Join(problems, "\n"))
	case !ok:
		return errors.New("refused; the daemon's log says why")
	}
	for _, p := range problems {
		fmt.Fprintln(a.err, "warning: "+p)
	}
	_, err = fmt.Fprintln(a.out, done)
	return err
}
