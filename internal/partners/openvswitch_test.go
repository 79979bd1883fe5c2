package partners

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
	"netbraid/internal/ovstest"
	"netbraid/internal/vmtest"
	"netbraid/ubus"
)

// vswitch is Open vSwitch in the namespace of a world.
type vswitch struct {
	*ovstest.OVS
	w *world
}

func newVSwitch(w *world) *vswitch {
	w.t.Helper()
	v := &vswitch{ovstest.New(w.t, w.ns, "--disable-system"), w}
	w.ovsdb.Target = v.Target()
	return v
}

// ports gives what ovs-vsctl says of the ports of a bridge: "eth1 tag 10 trunks
// 20,21", sorted.
func (v *vswitch) ports(bridge string) []string {
	v.w.t.Helper()
	names := strings.Fields(v.Vsctl("list-ports " + bridge))
	var table struct{ Data [][]any }
	out := v.Vsctl("--format=json --columns=name,tag,trunks list Port")
	if err := json.Unmarshal([]byte(out), &table); err != nil {
		v.w.t.Fatalf("ovs-vsctl: %v: %s", err, out)
	}
	var ports []string
	for _, row := range table.Data {
		name := row[0].(string)
		if !slices.Contains(names, name) {
			continue
		}
		if tag := numbers(row[1]); tag != "" {
			name += " tag " + tag
		}
		if trunks := numbers(row[2]); trunks != "" {
			name += " trunks " + trunks
		}
		ports = append(ports, name)
	}
	slices.Sort(ports)
	return ports
}

// numbers reads one number or a set of them as the database writes them.
func numbers(v any) string {
	set := []any{v}
	if a, ok := v.([]any); ok {
		set = a[1].([]any)
	}
	var out []string
	for _, n := range set {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, ",")
}

// waitPorts waits until a bridge has exactly these ports.
func (v *vswitch) waitPorts(bridge string, want ...string) {
	v.w.t.Helper()
	nstest.Eventually(v.w.t, 8*time.Second, func() string {
		if got := v.ports(bridge); !slices.Equal(got, want) {
			return fmt.Sprintf("the ports are %q, not %q", got, want)
		}
		return ""
	})
}

// switchConfig is a bridge with a tagged port, one of its own and two interfaces.
const switchConfig = `
config device
	option name 'ovs0'
	option type 'openvswitch'
	option %s
	list ports 'eth0:10'

config device
	option name 'guests'
	option type 'vport'
	option bridge 'ovs0'
	option port_type 'internal'
	option tag '10'

config interface 'guests'
	option device 'guests'
	option proto 'static'
	option ipaddr '10.20.0.1/24'

config interface 'all'
	option device 'ovs0'
	option proto 'none'
`

// TestOpenVSwitch has a bridge of ovs-vswitchd as a device: interfaces on it, a
// reload in place, ports that come and go, frames, and both of its daemons
// killed.
func TestOpenVSwitch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	v := newVSwitch(w)
	config := fmt.Sprintf(switchConfig, "datapath_type 'netdev'")
	w.config(config)
	w.start("")
	w.waitUp("guests")
	w.waitUp("all")
	v.waitPorts("ovs0", "eth0 tag 10", "guests tag 10")
	w.far.IP("addr add 10.20.0.2/24 dev peer0")
	reach := func() {
		t.Helper()
		nstest.Eventually(t, 10*time.Second, func() string {
			if out, err := w.far.Try("ping", "-c1", "-W1", "10.20.0.1"); err != nil {
				return out
			}
			return ""
		})
	}
	reach()
	w.portsCount("eth0", "guests")

	// By hand, and by the API.
	v.Vsctl("add-port ovs0 eth2")
	w.change("network.interface.all", "add_device", "eth1")
	v.waitPorts("ovs0", "eth0 tag 10", "eth1", "eth2", "guests tag 10")

	// In place: nothing goes down.
	downs := w.count("ifdown guests") + w.count("ifdown all")
	w.config(strings.Replace(config, "eth0:10", "eth0:10,20-21t", 1))
	w.reload()
	v.waitPorts("ovs0", "eth0 tag 10 trunks 20,21", "eth1", "eth2", "guests tag 10")
	reach()
	if n := w.count("ifdown guests") + w.count("ifdown all"); n != downs {
		t.Errorf("%d interfaces went down with a reload in place", n-downs)
	}
	w.change("network.interface.all", "remove_device", "eth1")
	v.waitPorts("ovs0", "eth0 tag 10 trunks 20,21", "eth2", "guests tag 10")

	// Its daemons die; what others made stays, what is missing comes back.
	v.Vswitchd.Kill()
	v.StartVswitchd()
	reach()
	v.Server.Kill()
	v.StartServer()
	v.Vsctl("--no-wait del-port eth0")
	v.waitPorts("ovs0", "eth0 tag 10 trunks 20,21", "eth2", "guests tag 10")
	reach()

	// An error of ovs-vswitchd reaches the interface.
	w.config(strings.Replace(config, "'eth0:10'", "'eth0:10'\n\tlist ports 'nowhere'", 1))
	w.reload()
	nstest.Eventually(t, 8*time.Second, func() string {
		if errs := w.messages("all"); !strings.Contains(errs, "nowhere (No such device)") {
			return "errors of the interface: " + errs
		}
		return ""
	})

	// No longer wanted: ours go, what others made stays.
	w.config("config interface 'nothing'\n\toption proto 'none'\n")
	w.reload()
	nstest.Eventually(t, 8*time.Second, func() string {
		if v.Vsctl("list-br") == "" {
			return ""
		}
		if got := v.ports("ovs0"); !slices.Equal(got, []string{"eth2"}) {
			return fmt.Sprintf("left are %q", got)
		}
		return ""
	})
}

// TestOpenVSwitchKernel is a bridge on the kernel's datapath, without
// ovs-vswitchd.
func TestOpenVSwitchKernel(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 3)
	w.config(fmt.Sprintf(switchConfig, "backend 'kernel'"))
	w.start("")
	w.waitUp("guests")
	w.waitUp("all")
	w.far.IP("addr add 10.20.0.2/24 dev peer0")
	nstest.Eventually(t, 20*time.Second, func() string {
		if out, err := w.far.Try("ping", "-c1", "-W1", "10.20.0.1"); err != nil {
			return out
		}
		return ""
	})
	w.portsCount("eth0", "guests")
	w.change("network.interface.all", "add_device", "eth1")
	show := func() string { return w.ns.Run("ovs-dpctl show") }
	waitText(t, show, "ovs0", "eth0", "eth1", "guests")
	w.change("network.interface.all", "remove_device", "eth1")
	nstest.Eventually(t, 8*time.Second, func() string {
		if out := show(); strings.Contains(out, "eth1") {
			return out
		}
		return ""
	})
	w.config("config interface 'nothing'\n\toption proto 'none'\n")
	w.reload()
	nstest.Eventually(t, 8*time.Second, func() string {
		if out := w.ns.Run("ip -br link"); strings.Contains(out, "ovs0") || strings.Contains(out, "guests") {
			return out
		}
		return ""
	})
}

// change calls a method that takes the name of a device.
func (w *world) change(path, method, device string) {
	w.t.Helper()
	if _, err := w.client.Call(w.t.Context(), path, method, ubus.Table{{Name: "name", Value: device}}); err != nil {
		w.t.Fatalf("%s %s %s: %v", path, method, device, err)
	}
}

// portsCount waits until the status of bridges shows these ports with a number
// and what has gone through them: ovs-vswitchd says so after a while.
func (w *world) portsCount(want ...string) {
	w.t.Helper()
	nstest.Eventually(w.t, 10*time.Second, func() string {
		bridges, _ := w.call("netbraid.ovs", "status").Array("bridges")
		counts := map[string]bool{}
		for _, b := range bridges {
			ports, _ := b.(ubus.Table).Array("ports")
			for _, p := range ports {
				t := p.(ubus.Table)
				name, _ := t.String("name")
				number, _ := t.Int("number")
				stats, _ := t.Table("statistics")
				rx, _ := stats.Int("rx_packets")
				tx, _ := stats.Int("tx_bytes")
				counts[name] = number > 0 && rx > 0 && tx > 0
			}
		}
		for _, name := range want {
			if !counts[name] {
				return fmt.Sprintf("port %s has no number, or no counters: %v", name, bridges)
			}
		}
		return ""
	})
}

// reload reads the configuration again.
func (w *world) reload() { w.t.Helper(); w.call("network", "reload") }

// messages are what errors[] of an interface says.
func (w *world) messages(name string) string {
	w.t.Helper()
	list, _ := w.call("network.interface."+name, "status").Array("errors")
	b, err := json.Marshal(list)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}
