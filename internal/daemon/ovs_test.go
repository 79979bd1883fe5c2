package daemon

import (
	"strings"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/model"
	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
)

const ovsNetwork = `config device
	option name ovs0
	option type openvswitch
	option backend kernel
	list ports eth0:10
	list ports eth1:10
	list ports late:20
config device
	option name in
	option type vport
	option bridge ovs0
	option port_type internal
	option tag 20
config interface lan
	option device ovs0
	option proto static
	option ipaddr 10.1.0.1/24
config interface in
	option device in
	option proto static
	option ipaddr 10.20.0.1/24
`

// switchIs waits until a bridge is as described: its error, and each port with
// "+" when it has a number, else with its error.
func (w *world) switchIs(want string) {
	w.t.Helper()
	nstest.Eventually(w.t, 20*time.Second, func() string {
		var got []string
		w.on(func(c *core.Core) {
			for _, s := range c.Switches() {
				got = append(got, s.State.Name+":"+s.State.Err)
				for _, p := range s.State.Ports {
					text := p.Name + "+"
					if p.Err != "" || p.Number == 0 {
						text = p.Name + "-"
					}
					if p.Foreign {
						text += "foreign"
					}
					got = append(got, text)
				}
			}
		})
		if s := strings.Join(got, " "); s != want {
			return "the bridge is " + s + ", want " + want + "\n" + w.describe()
		}
		return ""
	})
}

// TestOpenVSwitch: a bridge of Open vSwitch on the kernel's datapath, as a
// device: interfaces come up on it and on an internal port, frames go through
// it, a device that comes later is taken in, ports are added and taken off while
// it runs, a new process takes it over, and it goes with its section.
func TestOpenVSwitch(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	far := [3]*nstest.NS{nstest.New(t), nstest.New(t), nstest.New(t)}
	w.ns.Veth("eth0", "far0", far[0])
	w.ns.Veth("eth1", "far0", far[1])
	for i, ip := range []string{"10.9.0.1/24", "10.9.0.2/24"} {
		far[i].IP("addr add " + ip + " dev far0")
	}
	w.config(ovsNetwork)
	w.start()
	w.switchIs("ovs0: eth0+ eth1+ in+ late-")
	w.waitState("lan", iface.Up)
	w.waitState("in", iface.Up)
	w.waitAddrs("ovs0", "10.1.0.1/24")
	far[0].Run("ping -c 3 -i 0.2 -W 5 10.9.0.2")

	// A device that comes later, in the VLAN of the internal port.
	w.ns.Veth("late", "far0", far[2])
	w.switchIs("ovs0: eth0+ eth1+ in+ late+")
	far[2].IP("addr add 10.20.0.2/24 dev far0")
	far[2].Run("ping -c 2 -i 0.2 -W 5 10.20.0.1")

	// Ports at run time.
	var st core.Status = 255
	w.on(func(*core.Core) {
		w.d.Command(core.Command{Do: &core.AddSwitchPort{Bridge: "ovs0", Port: model.SwitchPort{Name: "more", Type: "internal"}}}, func(s core.Status) { st = s })
	})
	if st != core.OK {
		t.Fatalf("add a port: status %d", st)
	}
	w.switchIs("ovs0: eth0+ eth1+ in+ late+ more+")

	// Another process: nothing is written, nothing goes, all is known.
	w.stop()
	far[0].Run("ping -c 2 -i 0.2 -W 5 10.9.0.2")
	w.start()
	w.switchIs("ovs0: eth0+ eth1+ in+ late+ more+")
	w.waitState("lan", iface.Up)
	w.quiet()
	if n := w.d.Writes(); n != 0 {
		t.Errorf("the new process wrote %d times", n)
	}

	// A reload changes the bridge as it runs.
	before := w.ns.IP("-o link show ovs0")
	w.config(strings.Replace(ovsNetwork, "\tlist ports eth1:10\n", "", 1))
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.switchIs("ovs0: eth0+ in+ late+ more+")
	if after := w.ns.IP("-o link show ovs0"); strings.Fields(before)[0] != strings.Fields(after)[0] {
		t.Errorf("the bridge was made anew: %s, before %s", after, before)
	}
	w.config("config interface off\n")
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	nstest.Eventually(t, 10*time.Second, func() string {
		if links := w.ns.IP("-o link show"); strings.Contains(links, "ovs0") || strings.Contains(links, "more") {
			return "the bridge is still there: " + links
		}
		return ""
	})
}
