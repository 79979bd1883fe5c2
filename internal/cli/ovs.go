package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"netbraid/ubus"
)

func (a *app) ovsCmd() *cobra.Command {
	return a.group("ovs", "Bridges of Open vSwitch: show, add and delete ports, dump flows",
		"  netbraid ovs show\n  netbraid ovs add-port ovs0 eth3 --tag 10\n  netbraid ovs del-port ovs0 eth3",
		a.ovsShowCmd(), a.ovsAddPortCmd(), a.ovsDelPortCmd(), a.ovsFlowsCmd())
}

func (a *app) ovsShowCmd() *cobra.Command {
	return a.client(&cobra.Command{
		Use:   "show [BRIDGE]",
		Short: "Show bridges of Open vSwitch with their ports",
		Long: `Shows the bridges of Open vSwitch that netbraid is to keep, with their ports, their
numbers and VLANs: 10 is the VLAN of untagged frames, 10t a tagged one; without
any the port lets all through. RX and TX are packets (octets) that the port's
device has received and sent. Ports that others have made are not shown.
With --json: what netbraid.ovs status answers on ubus.`,
		Example: `  netbraid ovs show
  netbraid ovs show ovs0
  netbraid ovs show --json | jq -r '.bridges[].ports[] | select(.error) | .name'`,
		Args:              atMostOne("bridge"),
		ValidArgsFunction: a.completeSwitch,
		RunE: a.show(func(ctx context.Context, bus *client, args []string) (ubus.Table, error) {
			t, err := bus.call(ctx, "netbraid.ovs", "status", only("name", args))
			if len(args) > 0 && errors.Is(err, ubus.StatusNotFound) {
				return nil, bus.noBridge(ctx, args[0])
			}
			return t, err
		}, each("bridges", writeSwitches)),
	}, true)
}

// noBridge is the error for a bridge that is not there.
func (c *client) noBridge(ctx context.Context, name string) error {
	names, _ := c.switches(ctx)
	return noSuch("bridge of Open vSwitch", name, names)
}

// switches lists the names of the bridges of Open vSwitch.
func (c *client) switches(ctx context.Context) ([]string, error) {
	return c.names(ctx, "netbraid.ovs", "status", "bridges")
}

func (a *app) completeSwitch(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(c, args, (*client).switches)
}

// writeSwitches prints bridges with their ports.
func writeSwitches(w io.Writer, bridges []ubus.Table, colour bool) error {
	return writeEach(w, bridges, colour, "no bridge of Open vSwitch is configured (config device with type 'openvswitch')", writeSwitch)
}

func writeSwitch(w io.Writer, b ubus.Table, colour bool) error {
	name, _ := b.String("name")
	state, st := "not there", yellow
	if there, _ := b.Bool("there"); there {
		state, st = "there", green
	}
	var more []string
	for _, key := range []string{"backend", "datapath_type", "fail_mode"} {
		if s, _ := b.String(key); s != "" {
			more = append(more, s)
		}
	}
	head := name + " is " + st.paint(state, colour)
	if more != nil {
		head = name + " (" + strings.Join(more, ", ") + ") is " + st.paint(state, colour)
	}
	if e, _ := b.String("error"); e != "" {
		head += ": " + red.paint(e, colour)
	}
	if _, err := fmt.Fprintln(w, head); err != nil {
		return err
	}
	t := table{head: []string{"PORT", "NUMBER", "TYPE", "VLAN", "RX", "TX", "OPTIONS"}, indent: true}
	for _, p := range tables(b, "ports") {
		s := func(key string) string { v, _ := p.String(key); return v }
		num := ""
		if n, _ := p.Int("number"); n > 0 {
			num = number(p, "number")
		}
		t.row(cell{s("name"), bold}, text(num), text(s("port_type")), text(vlans(p)),
			text(traffic(p, "rx")), text(traffic(p, "tx")), text(portOptions(p)))
		switch foreign, _ := p.Bool("foreign"); {
		case s("error") != "":
			t.note(red, s("name")+": "+s("error"))
		case foreign:
			t.note(red, s("name")+": somebody else has a port of this name; it is left alone")
		}
	}
	if len(t.rows) == 0 {
		return nil
	}
	return t.write(w, colour)
}

// traffic is what has gone through a port, in packets and octets as its device
// counts them; empty when it has no device of its own.
func traffic(p ubus.Table, dir string) string {
	st, ok := p.Table("statistics")
	if !ok {
		return ""
	}
	packets, _ := st.Int(dir + "_packets")
	size, _ := st.Int(dir + "_bytes")
	return fmt.Sprintf("%d (%s)", packets, octets(size))
}

// vlans writes the VLANs of a port as the configuration does.
func vlans(p ubus.Table) string {
	var out []string
	if n, _ := p.Int("tag"); n > 0 {
		out = append(out, number(p, "tag"))
	}
	for _, v := range stringsOf(p, "trunks") {
		out = append(out, v+"t")
	}
	text := strings.Join(out, ",")
	if mode, _ := p.String("vlan_mode"); mode != "" && mode != "native-untagged" {
		text = strings.TrimSpace(text + " " + mode)
	}
	return text
}

// portOptions writes what else is wanted of a port.
func portOptions(p ubus.Table) string {
	var out []string
	opts, _ := p.Table("options")
	for _, o := range opts {
		s, _ := o.Value.(string)
		out = append(out, o.Name+"="+s)
	}
	slices.Sort(out)
	if devs := stringsOf(p, "ports"); len(devs) > 0 {
		out = append(out, "of "+strings.Join(devs, "+"))
	}
	for _, key := range []string{"bond_mode", "lacp"} {
		if s, _ := p.String(key); s != "" {
			out = append(out, strings.TrimPrefix(key, "bond_")+" "+s)
		}
	}
	return strings.Join(out, " ")
}

func (a *app) ovsAddPortCmd() *cobra.Command {
	var typ, mode string
	var tag, num int32
	var trunks, options []string
	c := a.client(&cobra.Command{
		Use:   "add-port BRIDGE PORT",
		Short: "Add a port to a bridge at run time",
		Long: `Adds a port to a bridge of Open vSwitch beside those of the configuration; said
again it changes the port. It stays when the configuration is read again and when
the daemon is started again, until netbraid ovs del-port; one of a device that
exists goes with its link. The options are those of config device with type
'vport'. Returns when the daemon has taken the order; netbraid ovs show BRIDGE
shows what became of it.`,
		Example: `  netbraid ovs add-port ovs0 eth3 --tag 10
  netbraid ovs add-port ovs0 guests --type internal --tag 20
  netbraid ovs add-port ovs0 vx0 --type vxlan --option remote_ip=192.0.2.7 --option key=7`,
		Args: bridgeAndPort,
		RunE: func(c *cobra.Command, args []string) error {
			bus, err := a.dial(c.Context())
			if err != nil {
				return err
			}
			defer bus.Close()
			t := ubus.Table{{Name: "bridge", Value: args[0]}, {Name: "port", Value: args[1]}}
			for _, f := range []struct {
				flag, name string
				value      any
			}{{"type", "port_type", typ}, {"number", "number", num}, {"tag", "tag", tag}, {"trunks", "trunks", arrayOf(trunks)},
				{"vlan-mode", "vlan_mode", mode}, {"option", "options", arrayOf(options)}} {
				if c.Flags().Changed(f.flag) {
					t = append(t, ubus.Field{Name: f.name, Value: f.value})
				}
			}
			return a.change(c, bus, "netbraid.ovs", "add_port", t, args[1]+": to be a port of "+args[0])
		},
		ValidArgsFunction: a.completeSwitch,
	}, true)
	f := c.Flags()
	f.StringVar(&typ, "type", "netdev", "`type` of port: netdev (a device that exists), internal, gre, vxlan, geneve, …")
	f.Int32Var(&num, "number", 0, "`number` that the port asks for (default: any)")
	f.Int32Var(&tag, "tag", 0, "`VLAN` of untagged frames (default: none)")
	f.StringSliceVar(&trunks, "trunks", nil, "`VLANs` that are let through tagged, or ranges of them (default: all; with --tag none)")
	f.StringVar(&mode, "vlan-mode", "", "access, trunk, native-tagged or native-untagged: `mode` of the VLANs")
	f.StringArrayVar(&options, "option", nil, "`KEY=VALUE` of the type of port; may be given again")
	return c
}

func arrayOf(l []string) ubus.Array {
	out := ubus.Array{}
	for _, s := range l {
		out = append(out, s)
	}
	return out
}

// bridgeAndPort is exactly two arguments.
func bridgeAndPort(c *cobra.Command, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("a bridge and a port are needed (usage: %s)", c.UseLine())
	}
	return nil
}

func (a *app) ovsDelPortCmd() *cobra.Command {
	return a.client(&cobra.Command{
		Use:   "del-port BRIDGE PORT",
		Short: "Take a port off a bridge that was added at run time",
		Long: `Takes a port off that netbraid ovs add-port has added, or add_device of an interface.
One of the configuration is refused: take it out there and reload.`,
		Example: "  netbraid ovs del-port ovs0 eth3",
		Args:    bridgeAndPort,
		RunE: a.onBus(func(ctx context.Context, bus *client, args []string) error {
			_, err := bus.call(ctx, "netbraid.ovs", "del_port", ubus.Table{{Name: "bridge", Value: args[0]}, {Name: "port", Value: args[1]}})
			if errors.Is(err, ubus.StatusNotFound) {
				return bus.noPort(ctx, args[0], args[1])
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%s: no longer to be a port of %s\n", args[1], args[0])
			return err
		}),
		ValidArgsFunction: a.completeSwitch,
	}, false)
}

// noPort says why a port cannot be taken off.
func (c *client) noPort(ctx context.Context, bridge, port string) error {
	t, err := c.call(ctx, "netbraid.ovs", "status", ubus.Table{{Name: "name", Value: bridge}})
	if errors.Is(err, ubus.StatusNotFound) {
		return c.noBridge(ctx, bridge)
	}
	if err != nil {
		return err
	}
	for _, b := range tables(t, "bridges") {
		for _, p := range tables(b, "ports") {
			if s, _ := p.String("name"); s == port {
				return fmt.Errorf("%s stands in the configuration of %s: take it out there, then netbraid reload", port, bridge)
			}
		}
	}
	return exit(exitNotFound, "bridge %s has no port %q that was added at run time (see: netbraid ovs show %s)", bridge, port, bridge)
}
