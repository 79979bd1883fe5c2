package daemon

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/dryrun"
	"netbraid/internal/iface"
	"netbraid/internal/nstest"
)

// ask makes a request of the core.
func (w *world) ask(r core.Request) core.Status {
	w.t.Helper()
	var st core.Status = 255
	w.on(func(*core.Core) { w.d.Command(core.Command{Do: r}, func(s core.Status) { st = s }) })
	return st
}

func (w *world) addDynamic(name string, options ...config.Option) {
	w.t.Helper()
	var one *config.Single
	w.on(func(*core.Core) {
		var problems []config.Problem
		if one, problems = w.d.ParseInterface(name, options); config.HasErrors(problems) {
			w.t.Fatal(problems)
		}
	})
	if st := w.ask(&core.AddDynamic{Single: one}); st != core.OK {
		w.t.Fatalf("add %s: %d", name, st)
	}
}

func option(name string, values ...string) config.Option {
	return config.Option{Name: name, Values: values}
}

// TestAskedSurvivesRestart: what callers have added is there, and was never
// gone, when another process has taken over.
func TestAskedSurvivesRestart(t *testing.T) {
	w := newWorld(t)
	for _, n := range []string{"eth0", "eth1", "eth2", "eth3"} {
		w.ns.IP("link add " + n + " type veth peer name p" + n)
		w.ns.IP("link set p" + n + " up")
	}
	w.config(`
config device
	option name 'br0'
	option type 'bridge'
	list ports 'eth0'
config interface 'lan'
	option device 'br0'
	option proto 'static'
	option ipaddr '192.168.1.1/24'
config interface 'wan'
	option device 'eth1'
	option proto 'static'
	option ipaddr '203.0.113.2/24'
	option gateway '203.0.113.1'
config interface 'plug'
	option proto 'none'
`)
	w.start()
	w.addDynamic("dyn", option("proto", "static"), option("device", "@lan"), option("ipaddr", "10.77.0.1/24"))
	w.addDynamic("over", option("proto", "static"), option("device", "@up"), option("ipaddr", "10.78.0.1/24"))
	for _, r := range []core.Request{&core.AddPort{Interface: "lan", Device: "eth2"}, &core.AddPort{Interface: "plug", Device: "eth3"},
		&core.SetAlias{Names: []string{"up"}, Device: "eth1"}, &core.AddHostRoute{Target: netip.MustParseAddr("9.9.9.9")}} {
		if st := w.ask(r); st != core.OK {
			t.Fatalf("%T: %d", r, st)
		}
	}
	for _, n := range []string{"dyn", "over", "plug"} {
		w.waitState(n, iface.Up)
	}
	all := func() string {
		return w.ns.IP("-o addr show dev br0") + w.ns.IP("-o -4 addr show dev eth1") + w.ns.IP("-4 route show table main") + w.ns.IP("-o link show dev eth2")
	}
	nstest.Eventually(t, 5*time.Second, func() string {
		got := all()
		for _, want := range []string{"10.77.0.1/24", "10.78.0.1/24", "9.9.9.9 via 203.0.113.1", "master br0"} {
			if !strings.Contains(got, want) {
				return want + " is not in " + got
			}
		}
		return ""
	})
	before := all()

	// A plan of the same configuration knows of it.
	cfg, problems, err := Load(w.dir+"/config", w.protos)
	if err != nil || config.HasErrors(problems) {
		t.Fatal(problems, err)
	}
	restore, problems, err := ReadAsked(w.dir+"/run", cfg, w.protos)
	if err != nil || len(problems) > 0 || len(restore.Interfaces) != 2 {
		t.Fatal(restore, problems, err)
	}
	ops, err := dryrun.Plan(t.Context(), dryrun.Options{Config: cfg, NSFD: w.ns.FD(), RunDir: w.dir + "/run", Protos: w.protos, Restore: restore})
	if err != nil || len(ops) > 0 {
		t.Errorf("plan of what is there: %v %v", ops, err)
	}

	w.stop()
	w.start()
	for _, n := range []string{"dyn", "over", "plug", "lan", "wan"} {
		w.waitState(n, iface.Up)
	}
	time.Sleep(300 * time.Millisecond)
	if got := all(); got != before {
		t.Errorf("after the restart:\n%s\nbefore:\n%s", got, before)
	}
	if n := w.d.Writes(); n != 0 {
		t.Errorf("%d writes after the restart", n)
	}
	// It is still known as added: it goes when it is removed, and stays gone.
	if st := w.command(core.VerbRemove, "dyn"); st != core.OK {
		t.Errorf("remove: %d", st)
	}
	w.waitAddrs("br0", "192.168.1.1/24")
	w.stop()
	w.start()
	w.waitState("lan", iface.Up)
	w.on(func(c *core.Core) {
		if c.Interface("dyn") != nil {
			t.Error("dyn is back after its removal")
		}
	})
}
