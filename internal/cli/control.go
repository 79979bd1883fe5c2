package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"netbraid/internal/config"
	"netbraid/ubus"
)

// verb is a command that says one word to one interface.
func (a *app) verb(use, short, long, example, method, done string) *cobra.Command {
	return a.client(&cobra.Command{
		Use:               use + " INTERFACE",
		Short:             short,
		Long:              long,
		Example:           example,
		Args:              oneName("interface"),
		ValidArgsFunction: a.completeInterface,
		RunE: a.onBus(func(ctx context.Context, bus *client, args []string) error {
			if _, err := bus.interfaceCall(ctx, args[0], method); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: %s\n", args[0], done)
			return nil
		}),
	}, false)
}

const statusHint = "\nReturns when the daemon has taken the order; `netbraid status INTERFACE` shows\nwhat became of it."

func (a *app) upCmd() *cobra.Command {
	return a.verb("up", "Bring an interface up",
		"Brings an interface up, and keeps it up from now on, also after a carrier loss\nor a restart of the daemon."+statusHint,
		"  netbraid up wan", "up", "to be up")
}

func (a *app) downCmd() *cobra.Command {
	return a.verb("down", "Take an interface down",
		"Takes an interface down: its addresses and routes go, and its device too when\nnobody else uses it. It stays down until `netbraid up`, also when the daemon is\nstarted again."+statusHint,
		"  netbraid down wan", "down", "to be down")
}

func (a *app) renewCmd() *cobra.Command {
	return a.verb("renew", "Ask an interface's protocol to renew what it has",
		"Asks the protocol to renew its lease or session. With a protocol that has\nnothing to renew (static, none) this does nothing.",
		"  netbraid renew wan", "renew", "asked to renew")
}

func (a *app) restartCmd() *cobra.Command {
	return a.verb("restart", "Take an interface down and bring it up again",
		"Takes an interface that is up down, and brings it up again. One that is down is\nrefused (exit code 1)."+statusHint,
		"  netbraid restart wan", "restart", "restarts")
}

func (a *app) reloadCmd() *cobra.Command {
	return a.client(&cobra.Command{
		Use:   "reload",
		Short: "Use the configuration as it is now; a bad one changes nothing",
		Long: `Makes the daemon read its configuration again and change only what differs.
A configuration with an error is refused as a whole: every problem is printed,
nothing is changed, and the exit code is 1. See also: check, plan.`,
		Example: `  netbraid reload
  netbraid check && netbraid plan; netbraid reload`,
		Args: none,
		RunE: a.onBus(func(ctx context.Context, bus *client, _ []string) error {
			r, err := bus.reload(ctx)
			if err != nil {
				return err
			}
			if a.json {
				if err := a.printJSON(r.answer); err != nil {
					return err
				}
			} else {
				a.printProblems(r.problems)
			}
			errs, warnings := countProblems(r.problems)
			switch {
			case !r.ok:
				return exit(exitFailed, "refused: %s; nothing is changed", count(max(errs, 1), "error"))
			case a.json:
			case warnings > 0:
				fmt.Fprintf(a.out, "reloaded, with %s\n", count(warnings, "warning"))
			default:
				fmt.Fprintln(a.out, "reloaded")
			}
			return nil
		}),
	}, true)
}

// reloaded is the answer of the daemon to a reload.
type reloaded struct {
	answer   ubus.Table
	ok       bool
	problems []config.Problem
}

// reload calls netbraid's own reload, which says everything that is wrong.
func (b *client) reload(ctx context.Context) (reloaded, error) {
	t, err := b.call(ctx, "netbraid", "reload", nil)
	if err != nil {
		return reloaded{}, err
	}
	r := reloaded{answer: t}
	r.ok, _ = t.Bool("ok")
	for _, p := range tables(t, "problems") {
		r.problems = append(r.problems, problemOf(p))
	}
	return r, nil
}

// problemOf is a problem as the daemon sent it.
func problemOf(t ubus.Table) config.Problem {
	var p config.Problem
	p.Pos.File, _ = t.String("file")
	line, _ := t.Int("line")
	p.Pos.Line = int(line)
	if s, _ := t.String("severity"); s != "warning" {
		p.Severity = config.Error
	}
	p.Section, _ = t.String("section")
	p.Option, _ = t.String("option")
	p.Value, _ = t.String("value")
	p.Reason, _ = t.String("reason")
	p.Allowed, _ = t.String("allowed")
	return p
}
