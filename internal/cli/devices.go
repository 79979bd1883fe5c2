package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"netbraid/ubus"
)

func (a *app) devicesCmd() *cobra.Command {
	return a.client(&cobra.Command{
		Use:   "devices [DEVICE]",
		Short: "Show devices: links of the kernel, and what they are made of",
		Long: `Without an argument: a table of all devices. The state is one of
  up          administratively up, with carrier
  no carrier  up, but nothing at the other end
  down        nobody uses it
  absent      configured, but not there
With an argument: everything about one device, its settings and counters too.
With --json: what network.device status answers on ubus.`,
		Example: `  netbraid devices
  netbraid devices br-lan
  netbraid devices --json eth0 | jq .statistics.rx_bytes`,
		Args:              atMostOne("device"),
		ValidArgsFunction: a.completeDevice,
		RunE: a.show(func(ctx context.Context, bus *client, args []string) (ubus.Table, error) {
			if len(args) > 0 {
				return bus.device(ctx, args[0])
			}
			return bus.call(ctx, "network.device", "status", nil)
		}, func(w io.Writer, t ubus.Table, args []string, colour bool) error {
			if len(args) > 0 {
				return writeDevice(w, args[0], t, colour)
			}
			return writeDevices(w, t, colour)
		}),
	}, true)
}

// devState is one word for how a device is, and how that looks.
func devState(t ubus.Table) (string, style) {
	present, _ := t.Bool("present")
	up, _ := t.Bool("up")
	carrier, _ := t.Bool("carrier")
	switch {
	case !present:
		return "absent", red
	case !up:
		return "down", dim
	case !carrier:
		return "no carrier", yellow
	}
	return "up", green
}

// devKind is the type in one word, with what it is made of.
func devKind(t ubus.Table) (kind, of string) {
	kind, _ = t.String("type")
	parent, _ := t.String("parent")
	vid, hasVID := t.Int("vid")
	peer, _ := t.String("peer")
	switch {
	case kind == "Network device":
		kind = "device"
	case kind == "vport":
		of, _ = t.String("bridge")
		of = "port of " + of
	case kind == "bridge", kind == "openvswitch":
		of = strings.Join(stringsOf(t, "bridge-members"), " ")
	case hasVID:
		of = fmt.Sprintf("VLAN %d on %s", vid, parent)
	case parent != "":
		of = "on " + parent
	}
	if peer != "" {
		of = "peer " + peer
	}
	return kind, of
}

// speedOf is a link speed as netifd gives it ("1000F"), in words.
func speedOf(t ubus.Table) string {
	s, _ := t.String("speed")
	if len(s) < 2 {
		return ""
	}
	n, err := strconv.Atoi(s[:len(s)-1])
	if err != nil || n <= 0 {
		return ""
	}
	unit := "M"
	if n >= 1000 && n%100 == 0 {
		s = strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/1000), ".0")
		unit = "G"
	} else {
		s = s[:len(s)-1]
	}
	if v, _ := t.String("speed"); strings.HasSuffix(v, "H") {
		return s + unit + " half"
	}
	return s + unit
}

func counters(t ubus.Table) (rx, tx string) {
	st, ok := t.Table("statistics")
	if !ok {
		return "", ""
	}
	r, _ := st.Int("rx_bytes")
	x, _ := st.Int("tx_bytes")
	return octets(r), octets(x)
}

// writeDevices prints the table of all devices.
func writeDevices(w io.Writer, all ubus.Table, colour bool) error {
	t := table{head: []string{"DEVICE", "STATE", "TYPE", "MADE OF", "SPEED", "MTU", "MAC", "RECEIVED", "SENT"}}
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(x, y ubus.Field) int { return strings.Compare(x.Name, y.Name) })
	for _, f := range sorted {
		d, ok := f.Value.(ubus.Table)
		if !ok {
			continue
		}
		state, st := devState(d)
		kind, of := devKind(d)
		mac, _ := d.String("macaddr")
		mtu := ""
		if n, ok := d.Int("mtu"); ok {
			mtu = strconv.FormatInt(n, 10)
		}
		rx, tx := counters(d)
		t.row(cell{f.Name, bold}, cell{state, st}, text(kind), text(of), text(speedOf(d)), text(mtu), text(mac), text(rx), text(tx))
	}
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(w, "no device")
		return err
	}
	return t.write(w, colour)
}

// writeDevice prints everything about one device: the answer as it is, in
// lines.
func writeDevice(w io.Writer, name string, d ubus.Table, colour bool) error {
	state, st := devState(d)
	kind, of := devKind(d)
	head := fmt.Sprintf("%s is %s: %s", name, st.paint(state, colour), kind)
	if of != "" {
		head += " (" + of + ")"
	}
	if _, err := fmt.Fprintln(w, head); err != nil {
		return err
	}
	t := table{indent: true}
	for _, f := range d {
		switch f.Name {
		case "present", "up", "carrier", "type", "parent", "vid", "peer", "bridge-members", "bridge":
			continue // said above
		}
		t.value(f.Name, f.Value)
	}
	return t.write(w, colour)
}

// value adds a named value; a table is a row for each of its own.
func (t *table) value(name string, v any) {
	switch v := v.(type) {
	case ubus.Table:
		for _, f := range v {
			t.value(name+"."+f.Name, f.Value)
		}
	case ubus.Array:
		if len(v) == 0 {
			return
		}
		if l := v.Strings(); len(l) == len(v) {
			t.row(cell{name, dim}, text(strings.Join(l, " ")))
			return
		}
		t.row(cell{name, dim}, text(string(ubus.AppendJSON(nil, v, false))))
	case bool:
		s := "no"
		if v {
			s = "yes"
		}
		t.row(cell{name, dim}, text(s))
	case string:
		t.row(cell{name, dim}, text(v))
	default:
		t.row(cell{name, dim}, text(string(ubus.AppendJSON(nil, v, false))))
	}
}
