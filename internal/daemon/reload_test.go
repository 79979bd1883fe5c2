package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/nstest"
)

// quiet waits until the daemon has nothing under way.
func (w *world) quiet() {
	w.t.Helper()
	nstest.Eventually(w.t, 5*time.Second, func() string {
		idle := false
		w.on(func(c *core.Core) { idle = c.Planner().Idle() })
		if !idle {
			return "something is still under way: " + w.describe()
		}
		return ""
	})
}

func (w *world) writes() (n uint64) {
	w.on(func(*core.Core) { n = w.d.Writes() })
	return n
}

// watch records what the kernel announces about addresses and routes of a
// namespace until stop is called.
func (w *world) watch(what string) (stop func() string) {
	w.t.Helper()
	out := filepath.Join(w.t.TempDir(), "monitor")
	f, err := os.Create(out)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := startIn(w.t, w.ns, f, "ip", "monitor", what)
	time.Sleep(150 * time.Millisecond)
	return func() string {
		time.Sleep(150 * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		f.Close()
		b, _ := os.ReadFile(out)
		return string(b)
	}
}

func TestReloadOfUnchangedConfigurationWritesNothing(t *testing.T) {
	w := basicWorld(t)
	w.start()
	w.waitState("lanalias", iface.Up)
	w.quiet()
	before := w.writes()
	for range 3 {
		if err := w.reload(); err != nil {
			t.Fatal(err)
		}
	}
	w.config("# a comment moves every line\n\n" + basicConfig)
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.quiet()
	if n := w.writes() - before; n != 0 {
		t.Errorf("%d operations for a configuration that has not changed", n)
	}
}

// swapConfig has an address, a gateway route and a route with a source.
func swapConfig(addr, src string) string {
	return `
config interface 'wan'
	option device 'eth0'
	option proto 'static'
	option ipaddr '` + addr + `'
	option gateway '10.0.0.254'
config route
	option interface 'wan'
	option target '198.51.100.0/24'
	option gateway '10.0.0.253'
	option source '` + src + `'
`
}

func TestAddressSwap(t *testing.T) {
	for _, c := range []struct{ name, from, to, src string }{
		{"within one subnet", "10.0.0.1/24", "10.0.0.7/24", "10.0.0.7"},
		{"across two subnets", "10.0.0.1/24", "10.0.0.7/16", "10.0.0.7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			other := nstest.New(t)
			w.ns.Veth("eth0", "far0", other)
			other.IP("addr add 10.0.0.254/16 dev far0")
			w.config(swapConfig(c.from, "10.0.0.1"))
			w.start()
			w.waitState("wan", iface.Up)
			w.quiet()
			for len(w.events) > 0 {
				<-w.events
			}
			// A second one after it: the first of the subnet takes the others
			// along when it goes, unless promote_secondaries is on.
			addrs, routes := w.watch("address"), w.watch("route")
			w.config(swapConfig(c.to, c.src))
			if err := w.reload(); err != nil {
				t.Fatal(err)
			}
			w.waitAddrs("eth0", c.to)
			w.quiet()
			a, r := addrs(), routes()
			add, del := strings.Index(a, "inet "+c.to), strings.Index(a, "Deleted")
			if add < 0 || del < 0 || del < add {
				t.Errorf("the new address has to come before the old goes:\n%s", a)
			}
			if n := strings.Count(a, "Deleted"); n != 1 {
				t.Errorf("%d addresses were deleted:\n%s", n, a)
			}
			table := w.ns.IP("route show")
			for _, want := range []string{"default via 10.0.0.254 dev eth0 proto static", "198.51.100.0/24 via 10.0.0.253 dev eth0 proto static src " + c.src} {
				if !strings.Contains(table, want) {
					t.Errorf("routes lack %q:\n%s\nmonitor:\n%s", want, table, r)
				}
			}
			if s := w.state("wan"); s != iface.Up {
				t.Errorf("wan is %s", s)
			}
			w.expectEvents("ifupdate wan")
			if got := w.sysctl("ipv4/conf/eth0/promote_secondaries"); got != "0" {
				t.Errorf("promote_secondaries is left at %s", got)
			}
			w.on(func(c *core.Core) {
				for _, l := range c.Planner().Owned().Links {
					if len(l.Sysctl) != 0 {
						t.Errorf("settings are still recorded as changed: %v", l.Sysctl)
					}
				}
			})
		})
	}
}

func TestReloadBridgePorts(t *testing.T) {
	w := basicWorld(t)
	w.ns.Veth("eth5", "peer5", nil)
	w.start()
	w.waitState("lan", iface.Up)
	w.quiet()
	for len(w.events) > 0 {
		<-w.events
	}
	index := w.link("br-lan", "ifindex")
	w.config(strings.Replace(basicConfig, "list ports 'eth1'", "list ports 'eth5'", 1))
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.wantLink("eth5", "master", "br-lan")
	w.wantLink("eth1", "master", nil)
	w.quiet()
	if w.up("eth1") {
		t.Error("eth1 is still up after it left the bridge")
	}
	w.expectEvents()
	if got := w.link("br-lan", "ifindex"); got != index {
		t.Errorf("the bridge was made anew: ifindex %v, was %v", got, index)
	}
}

func TestReloadAddsChangesAndRemovesInterfaces(t *testing.T) {
	w := basicWorld(t)
	w.start()
	w.waitState("lan", iface.Up)
	w.ns.Veth("eth5", "peer5", nil)
	next := basicConfig[:strings.Index(basicConfig, "config interface 'lanalias'")]
	next = strings.Replace(next, "list ports 'eth0'", "list ports 'eth0'\n\toption mtu '1400'", 1)
	next += "config interface 'new'\n\toption device 'eth5'\n\toption proto 'static'\n\toption ipaddr '10.5.0.1/24'\n"
	w.config(next)
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.waitState("new", iface.Up)
	w.waitAddrs("br-lan", "192.168.1.1/24")
	w.wantLink("br-lan", "mtu", 1400.0)
	w.on(func(c *core.Core) {
		if !slices.Equal(c.Interfaces(), []string{"lan", "loopback", "new", "wan"}) {
			t.Errorf("interfaces: %v", c.Interfaces())
		}
	})
	// A change of type makes the device anew.
	w.config(strings.Replace(next, "option type 'bridge'\n\tlist ports 'eth0'\n\toption mtu '1400'\n\tlist ports 'eth1'",
		"option type 'macvlan'\n\toption ifname 'eth0'\n\toption mode 'bridge'", 1))
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.wantLink("br-lan", "info_kind", "macvlan")
	w.waitState("lan", iface.Up)
	w.waitAddrs("br-lan", "192.168.1.1/24")
}

func TestBadConfigurationChangesNothing(t *testing.T) {
	w := basicWorld(t)
	w.start()
	w.waitState("lanalias", iface.Up)
	w.quiet()
	// How far the detection of duplicates has come is the kernel's business.
	addrs := func() string { return strings.ReplaceAll(w.ns.IP("addr show"), " tentative", "") }
	before, state := w.writes(), addrs()
	for name, text := range map[string]string{
		"syntax":        basicConfig + "config interface 'x\n",
		"protocol":      basicConfig + "config interface 'x'\n\toption proto 'nonesuch'\n",
		"device type":   basicConfig + "config device\n\toption name 'd'\n\toption type 'nonesuch'\n",
		"value":         strings.Replace(basicConfig, "203.0.113.2", "300.1.2.3", 1),
		"contradiction": basicConfig + "config device\n\toption name 'br2'\n\toption type 'bridge'\n\tlist ports 'eth0'\n",
	} {
		w.config(text)
		err := w.reload()
		var refused *RefusedError
		if !errors.As(err, &refused) {
			t.Errorf("%s: reload: %v", name, err)
			continue
		}
		if !strings.Contains(err.Error(), "network:") {
			t.Errorf("%s: the message names no file and line: %v", name, err)
		}
	}
	w.quiet()
	if n := w.writes() - before; n != 0 || addrs() != state {
		t.Errorf("%d operations for configurations that were refused", n)
	}
	if err := os.Remove(filepath.Join(w.dir, "config", "network")); err != nil {
		t.Fatal(err)
	}
	if err := w.reload(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reload without a file: %v", err)
	}
	w.waitState("lan", iface.Up)
}

func TestBootWithBadConfiguration(t *testing.T) {
	w := basicWorld(t)
	bad := strings.Replace(basicConfig, "203.0.113.2", "300.1.2.3", 1)
	w.config(bad)
	w.start() // nothing good is known yet: what is right is used
	w.waitState("lan", iface.Up)
	if s := w.state("wan"); s != iface.Down {
		t.Errorf("wan is %s", s)
	}
	w.on(func(c *core.Core) {
		errs := c.Interface("wan").Errors()
		if len(errs) != 1 || errs[0].Code != "INVALID_ADDRESS" || !slices.Equal(errs[0].Data, []string{"300.1.2.3"}) {
			t.Errorf("errors of wan: %+v", errs)
		}
	})
	w.config(basicConfig)
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.waitState("wan", iface.Up)
	w.stop()
	w.config(bad + "config nonsense '\n")
	w.start() // now the last good one is used
	w.waitState("wan", iface.Up)
	w.waitAddrs("eth2", "203.0.113.2/24", "2001:db8:1::2/64")
}
