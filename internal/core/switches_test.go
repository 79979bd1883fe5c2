package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/model"
	"netbraid/rtnl"
	"netbraid/uci"
)

// switchWorld is a core on a kernel that tells what the test says, with
// somebody who runs Open vSwitch and does what is wanted.
type switchWorld struct {
	t     *testing.T
	c     *core.Core
	now   time.Time
	queue []core.Event
	epoch uint32
	want  []string // each core.Switches, printed
	logs  []string
	last  []model.Switch
}

func newSwitchWorld(t *testing.T) *switchWorld {
	return &switchWorld{t: t, c: core.New(core.Options{Seed: 1}), now: time.Unix(1000, 0)}
}

func (w *switchWorld) step(ev core.Event) {
	w.t.Helper()
	w.queue = append(w.queue, ev)
	for len(w.queue) > 0 {
		ev, w.queue = w.queue[0], w.queue[1:]
		w.now = w.now.Add(time.Millisecond)
		for _, a := range w.c.Step(w.now, ev) {
			w.do(a)
		}
		if err := w.c.CheckInvariants(); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *switchWorld) do(a core.Action) {
	switch a := a.(type) {
	case core.Subscribe:
		w.epoch = a.Epoch
		w.queue = append(w.queue, core.Subscribed{Epoch: a.Epoch})
	case core.Dump:
		w.queue = append(w.queue, core.DumpDone{Epoch: a.Epoch, Kind: a.Kind, Complete: true})
	case core.Switches:
		w.last = a.Want
		var out []string
		for _, s := range a.Want {
			var ports []string
			for _, p := range s.Ports {
				ports = append(ports, p.Name)
			}
			out = append(out, s.Name+"["+strings.Join(ports, " ")+"]")
		}
		w.want = append(w.want, strings.Join(out, " "))
	case core.Log:
		w.logs = append(w.logs, fmt.Sprintln(append([]any{a.Message}, a.Args...)...))
	}
}

func (w *switchWorld) link(index uint32, name, kind string) {
	l := rtnl.Link{Index: index, Name: name, Kind: kind, Type: unix.ARPHRD_ETHER, Flags: unix.IFF_UP, Carrier: true, MTU: 1500, ParentNSID: -1}
	w.step(core.Notified{Epoch: w.epoch, Data: rtnl.AppendLinkInfo(nil, unix.RTM_NEWLINK, 0, 0, &l)})
}

func (w *switchWorld) configure(text string) {
	w.t.Helper()
	w.step(core.Configured{Config: parsed(w.t, text)})
}

func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	pkg, err := uci.Parse("network", []byte(text), uci.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg, problems := config.Parse(pkg, "net", config.Options{})
	for _, p := range problems {
		t.Error(p)
	}
	return cfg
}

// told holds what has been said since the last time.
func (w *switchWorld) told(want ...string) {
	w.t.Helper()
	if got := strings.Join(w.want, " | "); got != strings.Join(want, " | ") {
		w.t.Errorf("told %q, want %q", got, want)
	}
	w.want = nil
}

const ovsConfig = `config device
	option name ovs0
	option type openvswitch
	list ports eth0
	list ports eth1:10
config device
	option name vi
	option type vport
	option bridge ovs0
	option port_type internal
config interface lan
	option device ovs0
	option proto static
	option ipaddr 10.0.0.1/24
config interface in
	option device vi
	option proto static
	option ipaddr 10.0.1.1/24
`

// TestSwitches: what is wanted is told once, an interface comes up on what Open
// vSwitch makes, and shows what is wrong.
func TestSwitches(t *testing.T) {
	w := newSwitchWorld(t)
	w.step(core.Tick{})
	w.configure(ovsConfig)
	w.told("ovs0[eth0 eth1 vi]")
	w.link(2, "eth0", "")
	w.link(3, "eth1", "")
	w.told()
	why := func(name string) string { return w.c.WhyAbsent(w.c.Interface(name)) }
	if got := why("lan") + "; " + why("in"); got != "bridge ovs0 of Open vSwitch is being made; port vi of bridge ovs0 of Open vSwitch is being made" {
		t.Error(got)
	}
	v := w.c.Version()
	w.step(core.SwitchChanged{State: model.SwitchState{Name: "ovs0", Err: "cannot reach ovsdb-server"}})
	if got := why("in"); got != "port vi of bridge ovs0 of Open vSwitch is not there: cannot reach ovsdb-server" {
		t.Error(got)
	}
	if w.c.Version() == v {
		t.Error("an answer that was kept would be stale")
	}
	w.link(10, "ovs0", "bridge")
	w.step(core.SwitchChanged{State: model.SwitchState{Name: "ovs0"}})
	if got := why("lan"); !strings.Contains(got, "there is a link ovs0 that Open vSwitch has not made") {
		t.Error(got)
	}
	w.link(10, "ovs0", "openvswitch")
	w.link(11, "vi", "openvswitch")
	w.step(core.SwitchChanged{State: model.SwitchState{Name: "ovs0", Backend: "kernel", There: true, Ports: []model.SwitchPortState{
		{Name: "eth0", Number: 1}, {Name: "eth1", Err: "no such device"}, {Name: "other", Number: 9, Foreign: true}, {Name: "vi", Number: 2, Foreign: true}}}})
	for _, n := range []string{"lan", "in"} {
		if st := w.c.Interface(n).State(); st != iface.SettingUp && st != iface.Up {
			t.Errorf("interface %s is %v", n, st)
		}
	}
	errs := func(dev string) string {
		var out []string
		for _, e := range w.c.SwitchErrors(dev) {
			out = append(out, e.Code+" "+e.Object+" "+e.Message)
		}
		return strings.Join(out, "; ")
	}
	foreign := "KEY_TAKEN vi somebody else has a port of this name; it is left alone"
	if got := errs("ovs0") + " / " + errs("vi") + " / " + errs("eth0"); got != "PORT_FAILED eth1 no such device; "+foreign+" / "+foreign+" / " {
		t.Error(got)
	}
	log := strings.Join(w.logs, "")
	for _, line := range []string{"Open vSwitch bridge is not as wanted bridge ovs0 error cannot reach ovsdb-server", "Open vSwitch bridge is there bridge ovs0 ports 4",
		"port of Open vSwitch is not as wanted bridge ovs0 port eth1 error no such device more 1"} {
		if strings.Count(log, line) != 1 {
			t.Errorf("the log should say once %q:\n%s", line, log)
		}
	}
	w.step(core.SwitchChanged{State: model.SwitchState{Name: "ovs0", Backend: "kernel", Err: "removed", Ports: []model.SwitchPortState{{Name: "eth0"}, {Name: "eth1"}, {Name: "vi"}}}})
	if log := strings.Join(w.logs, ""); strings.Contains(log, "as wanted again") {
		t.Errorf("without its bridge a port is not as wanted:\n%s", log)
	}
	if sw := w.c.SwitchOf("vi"); sw == nil || sw.State.Backend != "kernel" || len(w.c.Switches()) != 1 || w.c.SwitchOf("eth0") != nil {
		t.Errorf("%+v", sw)
	}
}

// TestSwitchesChange: an unchanged configuration tells nothing, a changed one
// what is different; ports that were added stay; the end takes all away.
func TestSwitchesChange(t *testing.T) {
	w := newSwitchWorld(t)
	w.step(core.Tick{})
	w.configure("")
	w.told("") // whoever has made bridges for the last process hears of it
	w.configure(ovsConfig)
	w.told("ovs0[eth0 eth1 vi]")
	w.configure(ovsConfig)
	w.configure("# moved\n\n" + ovsConfig)
	w.told()
	w.configure(strings.Replace(ovsConfig, "eth1:10", "eth1:11", 1))
	w.told("ovs0[eth0 eth1 vi]")
	if w.last[0].Ports[1].Tag != 11 {
		t.Errorf("%+v", w.last)
	}
	before := w.c.AskedVersion()
	w.step(core.Command{ID: 1, Do: &core.AddSwitchPort{Bridge: "ovs0", Port: model.SwitchPort{Name: "x", Type: "internal", Tag: 4}}})
	w.told("ovs0[eth0 eth1 vi x]")
	if w.c.AskedVersion() == before {
		t.Error("a port that was added is not written down")
	}
	w.step(core.Command{ID: 2, Do: &core.AddSwitchPort{Bridge: "none", Port: model.SwitchPort{Name: "y"}}})
	w.step(core.Command{ID: 3, Do: &core.DelSwitchPort{Bridge: "ovs0", Port: "y"}})
	w.told()
	w.configure(ovsConfig)
	w.told("ovs0[eth0 eth1 vi x]")

	next := newSwitchWorld(t) // another process
	next.step(core.Tick{})
	next.configure(ovsConfig)
	next.step(core.Command{ID: 1, Do: &core.Restore{Asked: w.c.Asked()}})
	next.told("ovs0[eth0 eth1 vi]", "ovs0[eth0 eth1 vi x]")
	if got := next.last[0].Ports[3]; got.Tag != 4 || got.Type != "internal" {
		t.Errorf("%+v", got)
	}
	w.step(core.Command{ID: 4, Do: &core.DelSwitchPort{Bridge: "ovs0", Port: "x"}})
	w.told("ovs0[eth0 eth1 vi]")
	w.step(core.Command{Verb: core.VerbTeardown})
	w.told("")
}
