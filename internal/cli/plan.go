package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"netbraid/internal/api"
	"netbraid/internal/config"
	"netbraid/internal/daemon"
	"netbraid/internal/dryrun"
	"netbraid/internal/helper"
	"netbraid/internal/plan"
	"netbraid/internal/proto"
	"netbraid/ubus"
)

func (a *app) planCmd() *cobra.Command {
	var dir, addons string
	var o planOptions
	c := &cobra.Command{
		Use:   "plan",
		Short: "Say what a reload would do, operation by operation; nothing is written",
		Long: `Reads the configuration and the kernel and prints, in order, the operations
that netbraid would do to bring them together, one a line; then what would become
of dataplanes and their pairs. For that each dataplane is looked at (its
interfaces and pairs, not its routes); of one that cannot be reached now it is
said so, and what is printed follows from the configuration in force (the last
good one, in --state-dir) and from what is written down. What is done by Open
vSwitch is not in the plan. Nothing is written, and no daemon is needed; what the
daemon has written down as its own is taken from --run-dir. Needs root.
With --json: one object with "operations", "dataplanes" and "changes".
Exit code: 0 nothing to do, 2 something to do (as with diff), 1 an error in the
configuration, or a failure.`,
		Example: `  netbraid plan
  netbraid plan -c /tmp/new
  netbraid plan --json | jq -r '.dataplanes[].pairs[] | .text'
  netbraid plan >/dev/null; [ $? = 2 ] && echo "a reload would change something"`,
		Args: none,
		RunE: func(c *cobra.Command, _ []string) error {
			protos := a.protocols(c.Context(), addons, o.run)
			cfg, problems, err := loadConfig(dir, protos)
			if err != nil {
				return err
			}
			if errs, _ := countProblems(problems); errs > 0 {
				if err := a.refusedPlan(problems); err != nil {
					return err
				}
				return exit(exitFailed, "%s in %s/network: a reload would refuse it and change nothing", count(errs, "error"), dir)
			}
			if o.ops, o.planes, err = makePlan(c.Context(), cfg, o.run, o.state, protos); err != nil {
				return err
			}
			return a.writePlan(cfg, &o)
		},
	}
	c.Flags().StringVarP(&dir, "config", "c", daemon.DefaultConfigDir, "configuration `dir`ectory")
	c.Flags().StringVar(&o.run, "run-dir", daemon.DefaultRunDir, "`dir`ectory where the daemon keeps what is its own")
	c.Flags().StringVar(&o.state, "state-dir", daemon.DefaultStateDir, "`dir`ectory where the daemon keeps the last good configuration")
	c.Flags().StringVarP(&addons, "addons", "p", helper.DefaultAddons, "`dir`ectory of protocol scripts (in proto/*.sh)")
	c.Flags().BoolVar(&a.json, "json", false, "print the plan as JSON")
	return c
}

// planOptions are where a plan reads, and what comes of it.
type planOptions struct {
	run, state string
	ops        []*plan.Op
	planes     []dryrun.PlaneChange
}

// makePlan compares a configuration with the kernel and the dataplanes.
func makePlan(ctx context.Context, cfg *config.Config, run, state string, protos proto.Registry) ([]*plan.Op, []dryrun.PlaneChange, error) {
	if err := readable(run); err != nil {
		return nil, nil, err
	}
	restore, _, err := daemon.ReadAsked(run, cfg, protos)
	if err != nil {
		return nil, nil, err
	}
	ops, err := dryrun.Plan(ctx, dryrun.Options{Config: cfg, RunDir: run, NSFD: -1, Protos: protos, Restore: restore})
	if err != nil {
		return nil, nil, err
	}
	planes, err := daemon.ReadPlanes(ctx, cfg, restore, run, state, protos)
	if err != nil {
		return nil, nil, fmt.Errorf("plan of dataplanes: %w", err)
	}
	return ops, planes.Compare(), nil
}

// refusedPlan says why there is no plan.
func (a *app) refusedPlan(problems []config.Problem) error {
	if !a.json {
		a.printProblems(problems)
		return nil
	}
	list := ubus.Array{}
	for _, p := range problems {
		list = append(list, api.ProblemTable(p))
	}
	return a.printJSON(ubus.Table{{Name: "ok", Value: false}, {Name: "problems", Value: list}})
}

// writePlan prints a plan, and ends as diff does.
func (a *app) writePlan(cfg *config.Config, o *planOptions) error {
	changes := len(o.ops) > 0
	for i := range o.planes {
		changes = changes || !o.planes[i].None()
	}
	if a.json {
		if err := a.printJSON(planTable(cfg, o, changes)); err != nil {
			return err
		}
	} else {
		if left := beyondPlan(cfg); left != "" {
			fmt.Fprintln(a.err, "netbraid: not in this plan: what is done for "+left)
		}
		for _, op := range o.ops {
			fmt.Fprintln(a.out, op)
		}
		for i := range o.planes {
			if why := o.planes[i].Unreachable; why != "" {
				fmt.Fprintf(a.err, "netbraid: dataplane %s cannot be reached now, so that what it has was not compared: %s\n", o.planes[i].Name, why)
			}
			for _, line := range planeLines(&o.planes[i]) {
				fmt.Fprintln(a.out, line)
			}
		}
		if !changes {
			fmt.Fprintln(a.out, "nothing to do")
		}
	}
	if changes {
		return silent(exitChanges)
	}
	return nil
}

// planeLines say what becomes of a dataplane, then of its pairs.
func planeLines(c *dryrun.PlaneChange) (lines []string) {
	if line := planeLine(c); line != "" {
		lines = append(lines, line)
	}
	for i := range c.Pairs {
		lines = append(lines, pairLine(c, &c.Pairs[i]))
	}
	return lines
}

// planeLine is empty when only pairs of a dataplane change.
func planeLine(c *dryrun.PlaneChange) string {
	line := fmt.Sprintf("%s dataplane %s", c.Does, c.Name)
	switch c.Does {
	case "":
		return ""
	case dryrun.Change:
		line += ": " + attrText(c.Attrs) + "; its pairs stay, its routes are compared again"
	default:
		line += fmt.Sprintf(" (%s %s)", c.Type, c.Place)
	}
	return line
}

func pairLine(c *dryrun.PlaneChange, x *dryrun.PairChange) string {
	line := string(x.Does) + " pair"
	if x.Name != "" {
		line += " " + x.Name
	}
	line += " of " + x.Phy
	if x.Host != "" {
		line += " and companion " + x.Host
	}
	if x.NetNS != "" {
		line += " in " + strings.TrimPrefix(x.NetNS, "/run/netns/")
	}
	line += " on dataplane " + c.Name
	if x.Attrs != nil {
		line += ": " + attrText(x.Attrs)
	}
	if x.Reason != "" {
		line += " (" + x.Reason + ")"
	}
	return line
}

// attrText is "host from 'a' to 'b', sync from '1' to '0'".
func attrText(list []dryrun.Attr) string {
	var out []string
	for _, t := range list {
		out = append(out, fmt.Sprintf("%s from '%s' to '%s'", t.Name, t.From, t.To))
	}
	return strings.Join(out, ", ")
}

// planTable is a plan as JSON.
func planTable(cfg *config.Config, o *planOptions, changes bool) ubus.Table {
	ops, planes, notes := ubus.Array{}, ubus.Array{}, ubus.Array{}
	for _, op := range o.ops {
		ops = append(ops, ubus.Table{{Name: "kind", Value: op.Kind.String()}, {Name: "device", Value: op.Device}, {Name: "reason", Value: op.Reason.String()}, {Name: "text", Value: op.String()}})
	}
	for i := range o.planes {
		planes = append(planes, planeTable(&o.planes[i]))
	}
	if left := beyondPlan(cfg); left != "" {
		notes = append(notes, left)
	}
	return ubus.Table{{Name: "ok", Value: true}, {Name: "changes", Value: changes}, {Name: "operations", Value: ops}, {Name: "dataplanes", Value: planes}, {Name: "not-planned", Value: notes}}
}

func planeTable(c *dryrun.PlaneChange) ubus.Table {
	pairs := ubus.Array{}
	for i := range c.Pairs {
		x := &c.Pairs[i]
		pairs = append(pairs, ubus.Table{{Name: "name", Value: x.Name}, {Name: "phy", Value: x.Phy}, {Name: "host", Value: x.Host}, {Name: "netns", Value: x.NetNS},
			{Name: "does", Value: string(x.Does)}, {Name: "attributes", Value: attrTable(x.Attrs)}, {Name: "reason", Value: x.Reason}, {Name: "text", Value: pairLine(c, x)}})
	}
	return ubus.Table{{Name: "name", Value: c.Name}, {Name: "type", Value: c.Type}, {Name: "place", Value: c.Place}, {Name: "does", Value: string(c.Does)},
		{Name: "compared", Value: c.Unreachable == ""}, {Name: "error", Value: c.Unreachable}, {Name: "attributes", Value: attrTable(c.Attrs)},
		{Name: "text", Value: planeLine(c)}, {Name: "pairs", Value: pairs}}
}

func attrTable(list []dryrun.Attr) ubus.Array {
	out := ubus.Array{}
	for _, t := range list {
		out = append(out, ubus.Table{{Name: "name", Value: t.Name}, {Name: "from", Value: t.From}, {Name: "to", Value: t.To}})
	}
	return out
}

// beyondPlan says what is not in a plan; empty for nothing.
func beyondPlan(cfg *config.Config) string {
	if n := len(cfg.Switches()); n > 0 {
		return count(n, "bridge") + " of Open vSwitch (netbraid ovs show)"
	}
	return ""
}

// readable holds that what the daemon has written down as its own, if
// anything, can be read: without it the plan would be wrong.
func readable(run string) error {
	f, err := os.Open(filepath.Join(run, "state"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what the daemon has made (plan needs root): %w", err)
	}
	return f.Close()
}
