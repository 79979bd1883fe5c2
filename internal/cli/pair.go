package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netbraid/ubus"
)

func (a *app) pairCmd() *cobra.Command {
	return a.group("pair", "Pairs of a dataplane's interface and its companion in Linux: add, delete, list",
		"  netbraid pair list\n  netbraid pair add wan0 --phy GigabitEthernet3/0/0\n  netbraid pair del wan0",
		a.pairListCmd(), a.pairAddCmd(), a.pairDelCmd())
}

func (a *app) pairListCmd() *cobra.Command {
	return a.client(&cobra.Command{
		Use:   "list [PAIR]",
		Short: "Show pairs, and what is wrong with them",
		Long: `Without an argument: a table of all pairs, each followed by the sub-interfaces
that were paired by themselves. The state is one of
  up             both sides are in step
  syncing        something is being written to one of them
  creating       the companion is being made
  waiting for …  the interface, its parent, the VLAN or the namespace is not there
  not connected  there is no connection to the dataplane
  removing       it is being taken apart
  error          something could not be done; the lines below say what
Below the pairs of a dataplane without connection: why, since when, and when the
next attempt is. Below all pairs: what is left behind on dataplanes that are not
configured any more and could not be reached.
With an argument (the name of a pair, its interface or its companion): every
attribute, who owns it, and its value on both sides.
With --json: what netbraid.pair status answers on ubus.`,
		Example: `  netbraid pair list
  netbraid pair list wan0
  netbraid pair list --json | jq -r '.dataplanes[].pairs[] | select(.state != "up") | .phy'`,
		Args:              atMostOne("pair"),
		ValidArgsFunction: a.completePair,
		RunE: a.show(func(ctx context.Context, bus *client, args []string) (ubus.Table, error) {
			t, err := bus.call(ctx, "netbraid.pair", "status", only("pair", args))
			if err == nil && len(args) > 0 && len(withPairs(tables(t, "dataplanes")))+len(tables(t, "left-behind")) == 0 {
				names, _ := bus.pairs(ctx)
				return nil, noSuch("pair", args[0], names)
			}
			return t, err
		}, func(w io.Writer, t ubus.Table, args []string, colour bool) error {
			planes, one := tables(t, "dataplanes"), len(args) > 0
			if one {
				planes = withPairs(planes)
			}
			return writePairs(w, planes, tables(t, "left-behind"), one, colour)
		}),
	}, true)
}

// withPairs gives the dataplanes that have pairs.
func withPairs(planes []ubus.Table) []ubus.Table {
	return slices.DeleteFunc(slices.Clone(planes), func(p ubus.Table) bool { return len(tables(p, "pairs")) == 0 })
}

// writePairs prints the pairs of all dataplanes, with every attribute when asked
// for, and what is left behind on others.
func writePairs(w io.Writer, planes, left []ubus.Table, full, colour bool) error {
	t := table{head: []string{"PAIR", "DATAPLANE", "INTERFACE", "COMPANION", "NAMESPACE", "STATE"}}
	for _, p := range planes {
		plane, _ := p.String("name")
		pairs := tables(p, "pairs")
		for _, x := range pairs {
			pairRows(&t, plane, x)
			if full {
				attributeRows(&t, x)
			}
		}
		if state, _ := p.String("state"); len(pairs) > 0 && (state == "waiting" || state == "connecting") {
			t.note(yellow, plane+": "+unconnected(p))
		}
		for _, e := range tables(p, "errors") {
			t.note(red, plane+": "+pairError(e))
		}
		if n, _ := p.Int("more"); n > 0 {
			t.note(plain, fmt.Sprintf("%s: %d more pairs", plane, n))
		}
	}
	if len(t.rows) > 0 {
		if err := t.write(w, colour); err != nil {
			return err
		}
	} else if len(left) == 0 {
		_, err := fmt.Fprintln(w, "no pair is configured (config pair in /etc/config/network, or netbraid pair add)")
		return err
	}
	return writeLeft(w, left, colour)
}

// writeLeft prints what is left behind on dataplanes, a line for each.
func writeLeft(w io.Writer, left []ubus.Table, colour bool) error {
	for _, l := range left {
		if _, err := fmt.Fprintln(w, yellow.paint(leftBehind(l), colour)); err != nil {
			return err
		}
	}
	return nil
}

// unconnected says why there is no connection to a dataplane, since when, and
// when the next attempt is.
func unconnected(p ubus.Table) string {
	why, _ := p.String("error")
	if leaving, _ := p.Bool("leaving"); leaving {
		why = strings.TrimPrefix(why+"; it is not configured any more, and its pairs are to be taken apart", "; ")
	}
	if why == "" {
		why = "it has not answered yet"
	}
	line := "not connected: " + why
	var more []string
	if n, _ := p.Int("disconnected"); n > 0 {
		more = append(more, "for "+duration(time.Duration(n)*time.Second))
	}
	if p.Has("retry-in-ms") {
		more = append(more, "next attempt in "+milliseconds(p, "retry-in-ms"))
	}
	if more == nil {
		return line
	}
	return line + " (" + strings.Join(more, ", ") + ")"
}

// leftBehind says what is left behind on a dataplane, and what to do about it.
func leftBehind(l ubus.Table) string {
	s := func(key string) string { v, _ := l.String(key); return v }
	names := stringsOf(l, "interfaces")
	more, _ := l.Int("more")
	shown := names[:min(len(names), 8)]
	list := strings.Join(shown, ", ")
	if n := len(names) - len(shown) + int(more); n > 0 {
		list += fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("left behind on %s (%s at %s), which is not configured any more: %s (%s): %s; the next start, or `netbraid reload`, tries again",
		s("dataplane"), s("type"), s("place"), count(len(names)+int(more), "pair"), list, s("reason"))
}

func pairRows(t *table, plane string, x ubus.Table) {
	s := func(key string) string { v, _ := x.String(key); return v }
	name, state := s("name"), s("state")
	if vlan := s("vlan"); name == "" && vlan != "" {
		name = "· VLAN " + vlan
	}
	t.row(cell{name, bold}, text(plane), text(s("phy")), text(s("host")), text(strings.TrimPrefix(s("netns"), "/run/netns/")), cell{state, pairStyle(state)})
	if why := s("reason"); why != "" {
		t.note(yellow, why)
	}
	for _, e := range tables(x, "errors") {
		t.note(red, pairError(e))
	}
}

func pairStyle(state string) style {
	switch state {
	case "up":
		return green
	case "error":
		return red
	}
	return yellow
}

// attributeRows prints who owns each attribute of a pair, and its values.
func attributeRows(t *table, x ubus.Table) {
	attrs, _ := x.Table("attributes")
	for _, f := range attrs {
		v, _ := f.Value.(ubus.Table)
		owner, _ := v.String("owner")
		there, _ := v.String("dataplane")
		here, _ := v.String("linux")
		if here == "" {
			here = "none"
		}
		line := fmt.Sprintf("%-10s  of %-9s  %s", f.Name, owner, here)
		st := plain
		if step, _ := v.Bool("in-step"); !step {
			st = yellow
			if there == "" {
				there = "none"
			}
			line += fmt.Sprintf(" in Linux, %s in the dataplane", there)
		}
		t.note(st, line)
	}
}

// pairError is one thing that could not be done, in words.
func pairError(e ubus.Table) string {
	object, _ := e.String("object")
	message, _ := e.String("message")
	return object + ": " + message + attempts(e)
}

// attempts says how often something was tried, and when next.
func attempts(e ubus.Table) string {
	var more []string
	if n, _ := e.Int("attempts"); n > 1 {
		more = append(more, fmt.Sprintf("%d attempts", n))
	}
	if e.Has("retry-in-ms") {
		more = append(more, "next in "+milliseconds(e, "retry-in-ms"))
	}
	if more == nil {
		return ""
	}
	return " (" + strings.Join(more, ", ") + ")"
}

func (a *app) pairAddCmd() *cobra.Command {
	var plane, phy, host, netns string
	var noSync, auto, mpls, tun bool
	var queues uint8
	c := a.client(&cobra.Command{
		Use:   "add PAIR",
		Short: "Add a pair at run time",
		Long: `Adds a pair beside those of the configuration. It stays when the configuration
is read again and when the daemon is started again, until netbraid pair del, or
until a section contradicts it. The options are those of config pair.
Returns when the daemon has taken the order; netbraid pair list PAIR shows what
became of it.`,
		Example: `  netbraid pair add wan0 --phy GigabitEthernet3/0/0
  netbraid pair add lan0 --phy eth1 --host lan --netns blue --auto-subif`,
		Args: oneName("pair"),
		RunE: func(c *cobra.Command, args []string) error {
			if phy == "" {
				return fmt.Errorf("which interface of the dataplane? (usage: %s --phy INTERFACE)", c.CommandPath()+" "+args[0])
			}
			bus, err := a.dial(c.Context())
			if err != nil {
				return err
			}
			defer bus.Close()
			t := ubus.Table{{Name: "name", Value: args[0]}, {Name: "phy", Value: phy}, {Name: "sync", Value: !noSync}}
			for _, f := range []struct {
				flag, name string
				value      any
			}{{"dataplane", "dataplane", plane}, {"host", "host", host}, {"netns", "netns", netns}, {"auto-subif", "auto_subif", auto}, {"mpls", "mpls", mpls}, {"tun", "tun", tun}, {"queues", "queues", int32(queues)}} {
				if c.Flags().Changed(f.flag) {
					t = append(t, ubus.Field{Name: f.name, Value: f.value})
				}
			}
			return a.change(c, bus, "netbraid.pair", "add", t, args[0]+": to be paired")
		},
	}, true)
	f := c.Flags()
	f.StringVar(&plane, "dataplane", "", "`name` of the dataplane (default: the only one)")
	f.StringVar(&phy, "phy", "", "`interface` of the dataplane")
	f.StringVar(&host, "host", "", "`name` of the companion (default: that of the pair)")
	f.StringVar(&netns, "netns", "", "network `namespace` of the companion (default: the daemon's own)")
	f.BoolVar(&noSync, "no-sync", false, "do not take over to Linux what is changed in the dataplane")
	f.BoolVar(&auto, "auto-subif", false, "pair sub-interfaces and VLANs by themselves")
	f.BoolVar(&mpls, "mpls", false, "take labelled packets; --mpls=false: do not (default: as net.mpls.conf.HOST.input says)")
	f.BoolVar(&tun, "tun", false, "a companion without Ethernet header")
	f.Uint8Var(&queues, "queues", 1, "`number` of queues of the companion (today's dataplanes choose themselves)")
	return c
}

func (a *app) pairDelCmd() *cobra.Command {
	return a.client(&cobra.Command{
		Use:   "del PAIR",
		Short: "Take a pair apart that was added at run time",
		Long: `Takes a pair apart that netbraid pair add has made: the companion is deleted, with
its addresses and routes. One of the configuration is refused: take its section
out and reload.`,
		Example:           "  netbraid pair del wan0",
		Args:              oneName("pair"),
		ValidArgsFunction: a.completePair,
		RunE: a.onBus(func(ctx context.Context, bus *client, args []string) error {
			_, err := bus.call(ctx, "netbraid.pair", "del", ubus.Table{{Name: "name", Value: args[0]}})
			switch {
			case errors.Is(err, ubus.StatusNotFound):
				names, _ := bus.pairs(ctx)
				return noSuch("pair", args[0], names)
			case errors.Is(err, ubus.StatusNotSupported):
				return fmt.Errorf("%s stands in the configuration: take its section out, then netbraid reload", args[0])
			case err != nil:
				return err
			}
			_, err = fmt.Fprintf(a.out, "%s: to be taken apart\n", args[0])
			return err
		}),
	}, false)
}

// pairs lists the names of the pairs that are wanted.
func (c *client) pairs(ctx context.Context) ([]string, error) {
	return c.names(ctx, "netbraid.pair", "list", "pairs")
}

func (a *app) completePair(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(c, args, (*client).pairs)
}
