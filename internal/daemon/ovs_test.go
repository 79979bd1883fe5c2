package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/dryrun"
	"netbraid/internal/iface"
	"netbraid/internal/model"
	"netbraid/internal/nstest"
	"netbraid/internal/ovstest"
	"netbraid/internal/vmtest"
)

const ovsNetwork = `config device
	option name ovs0
	option type openvswitch
	option backend kernel
	list ports eth0:10
	list ports eth1:10
	list ports late:20
` + ovsUsers

// ovsUsers is a port of its own on a bridge, and interfaces on both.
const ovsUsers = `config device
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
	// A port goes to a bridge of Linux, and comes back.
	other := strings.Replace(ovsNetwork, "\tlist ports eth1:10\n", "", 1) + "config device\n\toption name br0\n\toption type bridge\n\tlist ports eth1\nconfig interface br\n\toption device br0\n"
	for _, c := range []struct{ text, master, ports string }{{other, "br0", "eth0+ in+ late+ more+"}, {ovsNetwork, "ovs0", "eth0+ eth1+ in+ late+ more+"}} {
		w.config(c.text)
		if err := w.reload(); err != nil {
			t.Fatal(err)
		}
		nstest.Eventually(t, 20*time.Second, func() string {
			if link := w.ns.IP("-o link show eth1"); !strings.Contains(link, "master "+c.master) {
				return "eth1 is not in " + c.master + ": " + link + w.describe()
			}
			return ""
		})
		w.switchIs("ovs0: " + c.ports)
	}
	w.quiet()
	w.on(func(c *core.Core) {
		for _, f := range c.Planner().Failures("") {
			t.Errorf("left over: %s: %s", f.Owner, f.String())
		}
	})
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

// openVSwitch starts Open vSwitch in the world's namespace, and gives a function
// that runs ovs-vsctl.
func (w *world) openVSwitch() (vsctl func(line string) string) {
	w.t.Helper()
	o := ovstest.New(w.t, w.ns)
	w.ovsdb.Target = o.Target()
	return o.Vsctl
}

// TestOpenVSwitchDatabase: without a backend in its section a bridge is given to
// ovs-vswitchd where that is. Interfaces come up on its links; what others have
// added stays; a new process writes nothing; it goes with its section.
func TestOpenVSwitchDatabase(t *testing.T) {
	w := newWorld(t)
	vsctl := w.openVSwitch()
	far := nstest.New(t)
	w.ns.Veth("eth0", "far0", far)
	far.IP("addr add 10.20.0.2/24 dev far0")
	const section = "config device\n\toption name ovs0\n\toption type openvswitch\n\toption datapath_type netdev\n\tlist ports eth0:20\n\tlist ports eth9\n"
	w.config(section + ovsUsers)
	plan := func() (ops string) {
		t.Helper()
		cfg, _, err := Load(filepath.Join(w.dir, "config"), w.protos)
		if err != nil {
			t.Fatal(err)
		}
		list, err := dryrun.Plan(t.Context(), dryrun.Options{Config: cfg, RunDir: filepath.Join(w.dir, "run"), NSFD: w.ns.FD(), Protos: w.protos})
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range list {
			ops += op.String() + "\n"
		}
		return ops
	}
	if ops := plan(); !strings.Contains(ops, "10.1.0.1/24") || !strings.Contains(ops, "10.20.0.1/24") || !strings.Contains(ops, "eth0") {
		t.Errorf("the plan lacks what is done on links of Open vSwitch, or on ports:\n%s", ops)
	}
	w.start()
	w.switchIs("ovs0: eth0+ eth9- in+")
	w.waitState("lan", iface.Up)
	w.waitState("in", iface.Up)
	w.waitAddrs("in", "10.20.0.1/24")
	far.Run("ping -c 2 -i 0.2 -W 5 10.20.0.1")
	if got := vsctl("get port eth0 tag"); got != "20" {
		t.Errorf("tag of eth0 in the database: %s", got)
	}
	// ovs-vswitchd clears what it has said of eth9 while it looks for it again.
	nstest.Eventually(t, 10*time.Second, func() (errs string) {
		w.on(func(c *core.Core) { errs = fmt.Sprint(c.SwitchErrors("ovs0"), c.Switches()[0].State.Backend) })
		if strings.Contains(errs, "PORT_FAILED eth9") && strings.Contains(errs, "ovsdb") {
			return ""
		}
		return "shown is " + errs
	})
	vsctl("add-port ovs0 theirs -- set interface theirs type=internal")
	w.switchIs("ovs0: eth0+ eth9- in+")

	w.stop()
	w.start()
	w.switchIs("ovs0: eth0+ eth9- in+")
	w.waitState("in", iface.Up)
	w.quiet()
	if n := w.d.Writes(); n != 0 {
		t.Errorf("the new process wrote %d times", n)
	}
	if ops := plan(); ops != "" {
		t.Errorf("at rest there is a plan:\n%s", ops)
	}
	w.config(strings.Replace(section, "eth0:20", "eth0:30", 1) + ovsUsers)
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	nstest.Eventually(t, 10*time.Second, func() string {
		if got := vsctl("get port eth0 tag"); got != "30" {
			return "tag of eth0 in the database: " + got
		}
		return ""
	})
	vsctl("del-port theirs")
	w.config("config interface off\n")
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	nstest.Eventually(t, 10*time.Second, func() string {
		if got := vsctl("list-br"); got != "" {
			return "bridges in the database: " + got
		}
		return ""
	})
}

// TestOpenVSwitchTeardown: with everything else, the end of the daemon takes its
// bridges away when it was told to, and its ports from those of others, which
// it leaves.
func TestOpenVSwitchTeardown(t *testing.T) {
	w := newWorld(t)
	vsctl := w.openVSwitch()
	vsctl("add-br theirs -- set bridge theirs datapath_type=netdev")
	w.ns.Veth("eth0", "far0", nil)
	w.ns.Veth("eth1", "far1", nil)
	w.config("config device\n\toption name ovs0\n\toption type openvswitch\n\toption datapath_type netdev\n\tlist ports eth0\n" +
		"config device\n\toption name theirs\n\toption type openvswitch\n\tlist ports eth1\n" +
		"config interface lan\n\toption device ovs0\n\toption proto static\n\toption ipaddr 10.1.0.1/24\n")
	w.start()
	w.switchIs("ovs0: eth0+ theirs: eth1+")
	w.waitState("lan", iface.Up)
	w.on(func(*core.Core) { w.d.o.TeardownOnExit = true })
	start := time.Now()
	w.stop()
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("the end took %v: something was waited for that does not come", took)
	}
	if got := strings.Fields(vsctl("list-br") + " " + vsctl("list-ports theirs")); len(got) != 1 || got[0] != "theirs" {
		t.Errorf("bridges in the database, and ports: %s", got)
	}
	nstest.Eventually(t, 5*time.Second, func() string {
		if links := w.ns.IP("-o link show"); strings.Contains(links, "ovs0:") {
			return "the link is there still: " + links
		}
		return ""
	})
}

// TestOpenVSwitchTeardownUnseen: what ovs-vswitchd has not made is taken out of
// the database as well.
func TestOpenVSwitchTeardownUnseen(t *testing.T) {
	w := newWorld(t)
	vsctl := w.openVSwitch()
	w.config("config device\n\toption name ovs0\n\toption type openvswitch\n\toption backend ovsdb\n\toption datapath_type netdev\n" +
		"config device\n\toption name p0\n\toption type vport\n\toption bridge ovs0\n\toption port_type internal\n")
	w.ns.Veth("ovs0", "far0", nil) // in its way
	w.start()
	nstest.Eventually(t, 10*time.Second, func() string {
		var err string
		w.on(func(c *core.Core) { err = c.Switches()[0].State.Err })
		if err == "" {
			return "no error"
		}
		return ""
	})
	w.on(func(*core.Core) { w.d.o.TeardownOnExit = true })
	w.stop()
	if got := vsctl("list-br"); got != "" {
		t.Errorf("bridges in the database: %s", got)
	}
}

// TestTwoDaemonsOneDatabase: two daemons keep their bridges in one database, and
// each takes away its own only, whatever the other does; each knows them again.
func TestTwoDaemonsOneDatabase(t *testing.T) {
	a, b := newWorld(t), newWorld(t)
	vsctl := a.openVSwitch()
	b.ovsdb.Target = a.ovsdb.Target
	bridge := func(name string) string {
		return "config device\n\toption name " + name + "\n\toption type openvswitch\n\toption backend ovsdb\n\toption datapath_type netdev\n"
	}
	a.config(bridge("ovsa"))
	a.start()
	a.switchIs("ovsa:")
	b.config(bridge("ovsb"))
	b.start()
	b.switchIs("ovsb:")
	bridges := func(want string) {
		t.Helper()
		nstest.Eventually(t, 10*time.Second, func() string {
			if got := strings.Join(strings.Fields(vsctl("list-br")), " "); got != want {
				return "bridges in the database: " + got + ", want " + want
			}
			return ""
		})
	}
	bridges("ovsa ovsb")
	before := vsctl("get Open_vSwitch . next_cfg")
	time.Sleep(time.Second)
	if after := vsctl("get Open_vSwitch . next_cfg"); after != before {
		t.Errorf("they write on: configuration %s, then %s", before, after)
	}
	a.stop()
	a.start()
	a.switchIs("ovsa:")
	a.config("")
	if err := a.reload(); err != nil {
		t.Fatal(err)
	}
	bridges("ovsb")
}

func TestSwitchID(t *testing.T) {
	file := filepath.Join(t.TempDir(), "machine-id")
	none := switchID(file, "/run/netbraid")
	if err := os.WriteFile(file, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{none: true, switchID(file, "/run/netbraid"): true, switchID(file, "/run/other"): true}
	if len(ids) != 3 || ids[""] || !ids[switchID(file, "/run/netbraid")] {
		t.Errorf("marks: %v", ids)
	}
}
