package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"netbraid/ubus"
)

func (a *app) statusCmd() *cobra.Command {
	return a.client(&cobra.Command{
		Use:   "status [INTERFACE]",
		Short: "Show interfaces, and what is wrong with them",
		Long: `Without an argument: a table of all interfaces. The state is one of
  up         configured and running
  starting   its protocol is being set up
  down       it should be up and is not; the line below says why
  no device  its device is not there
  invalid    its section of the configuration has an error
  off        it is not to be up: option auto 0, or somebody said down
With an argument: everything about one interface.
With --json: what network.interface dump (or status) answers on ubus.`,
		Example: `  netbraid status
  netbraid status wan
  netbraid status --json | jq -r '.interface[] | select(.up) | .interface'`,
		Args:              atMostOne("interface"),
		ValidArgsFunction: a.completeInterface,
		RunE: a.show(func(ctx context.Context, bus *client, args []string) (ubus.Table, error) {
			if len(args) > 0 {
				return bus.interfaceCall(ctx, args[0], "status")
			}
			return bus.call(ctx, "network.interface", "dump", nil)
		}, func(w io.Writer, t ubus.Table, args []string, colour bool) error {
			if len(args) == 0 {
				return writeInterfaces(w, tables(t, "interface"), colour)
			}
			i := interfaceInfo(t)
			i.name = args[0]
			return writeInterface(w, &i, colour)
		}),
	}, true)
}

func (a *app) printJSON(t ubus.Table) error {
	_, err := fmt.Fprintln(a.out, t.JSONIndent())
	return err
}

// writeInterfaces prints the table of all interfaces.
func writeInterfaces(w io.Writer, list []ubus.Table, colour bool) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no interface is configured")
		return err
	}
	t := table{head: []string{"INTERFACE", "STATE", "PROTOCOL", "DEVICE", "ADDRESS", "GATEWAY", "UPTIME"}}
	wrong := 0
	for _, x := range list {
		i := interfaceInfo(x)
		t.interfaceRows(&i)
		if !i.up && i.autostart || len(i.problems) > 0 {
			wrong++
		}
	}
	if err := t.write(w, colour); err != nil || wrong == 0 {
		return err
	}
	need := "need"
	if wrong == 1 {
		need = "needs"
	}
	_, err := fmt.Fprintf(w, "%d of %s %s a look (more: netbraid status INTERFACE)\n", wrong, count(len(list), "interface"), need)
	return err
}

// interfaceRows adds one interface: a row, one more for each further address,
// and a note for each problem. A gateway stands beside an address of its
// family.
func (t *table) interfaceRows(i *ifInfo) {
	var v4, v6 []string
	for _, x := range i.addrs {
		if x.Addr().Is4() {
			v4 = append(v4, x.String())
		} else {
			v6 = append(v6, x.String())
		}
	}
	gw4, gw6 := i.gateways()
	n4 := max(len(v4), len(gw4))
	n := max(1, n4+max(len(v6), len(gw6)))
	state, st := i.state()
	for k := range n {
		row := make([]cell, 7)
		if k == 0 {
			row = []cell{{i.name, bold}, {state, st}, text(i.proto), text(i.devices()), {}, {}, {}}
			if i.up {
				row[6] = text(duration(i.uptime))
			}
		}
		if k < n4 {
			row[4], row[5] = text(at(v4, k)), text(at(gw4, k))
		} else {
			row[4], row[5] = text(at(v6, k-n4)), text(at(gw6, k-n4))
		}
		t.row(row...)
	}
	for _, p := range i.problems {
		t.note(red, "! "+p.text)
	}
}

func at(l []string, i int) string {
	if i < len(l) {
		return l[i]
	}
	return ""
}

// writeInterface prints everything about one interface.
func writeInterface(w io.Writer, i *ifInfo, colour bool) error {
	state, st := i.state()
	headline := i.name + " is " + st.paint(state, colour)
	switch {
	case i.up:
		headline += ", for " + duration(i.uptime)
	case !i.autostart:
		headline += " (to bring it up: netbraid up " + i.name + ")"
	}
	if _, err := fmt.Fprintln(w, headline); err != nil {
		return err
	}
	t := table{indent: true}
	list := func(key string, values []string) {
		for n, v := range values {
			if n > 0 {
				key = ""
			}
			t.row(cell{key, dim}, text(v))
		}
	}
	one := func(key, v string) {
		if v != "" {
			list(key, []string{v})
		}
	}
	one("protocol", i.proto)
	one("device", i.devices())
	one("zone", i.zone)
	var addrs, routes []string
	for _, x := range i.addrs {
		addrs = append(addrs, strings.TrimSpace(x.String()+" "+x.note))
	}
	for _, r := range i.routes {
		routes = append(routes, r.String())
	}
	list("addresses", addrs)
	list("prefixes", i.prefixes)
	list("routes", routes)
	list("DNS servers", i.dns)
	list("DNS search", i.search)
	if i.metric != 0 {
		one("metric", fmt.Sprint(i.metric))
	}
	for n, p := range i.problems {
		key := ""
		if n == 0 {
			key = "problems"
		}
		t.row(cell{key, dim}, cell{p.text + " (" + p.code + ")", red})
	}
	return t.write(w, colour)
}
