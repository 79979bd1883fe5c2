package daemon

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/nstest"
)

func startIn(t testing.TB, ns *nstest.NS, out *os.File, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

// soon waits for at most the second within which drift is repaired.
func (w *world) soon(f func() string) {
	w.t.Helper()
	nstest.Eventually(w.t, time.Second, func() string {
		if s := f(); s != "" {
			return s + ": " + w.describe()
		}
		return ""
	})
}

func (w *world) has(cmd, want string) func() string {
	return func() string {
		if got := w.ns.IP(cmd); !strings.Contains(got, want) {
			return "ip " + cmd + " lacks " + want
		}
		return ""
	}
}

func TestDriftIsRepaired(t *testing.T) {
	w := basicWorld(t)
	w.config(strings.Replace(basicConfig, "list ports 'eth0'", "list ports 'eth0'\n\toption mtu '1400'", 1) +
		"config route\n\toption interface 'wan'\n\toption target '198.51.100.0/24'\n\toption gateway '203.0.113.9'\n")
	w.start()
	w.waitState("wan", iface.Up)
	w.waitState("lanalias", iface.Up)
	w.quiet()
	for len(w.events) > 0 {
		<-w.events
	}
	w.ns.IP("addr del 192.168.1.1/24 dev br-lan")
	w.soon(w.has("addr show dev br-lan", "inet 192.168.1.1/24 brd 192.168.1.255"))
	w.ns.IP("-6 addr del 2001:db8:1::2/64 dev eth2")
	w.soon(w.has("addr show dev eth2", "2001:db8:1::2/64"))
	w.ns.IP("route del 198.51.100.0/24")
	w.soon(w.has("route show", "198.51.100.0/24 via 203.0.113.9 dev eth2 proto static"))
	w.ns.IP("route del default")
	w.soon(w.has("route show", "default via 203.0.113.1 dev eth2 proto static"))
	w.ns.IP("-6 route del default")
	w.soon(w.has("-6 route show", "default via 2001:db8:1::1 dev eth2"))
	w.ns.IP("link set eth1 nomaster")
	w.soon(w.has("link show dev eth1", "master br-lan"))
	w.ns.IP("link set br-lan mtu 1300")
	w.soon(w.has("link show dev br-lan", "mtu 1400"))
	w.quiet()
	w.expectEvents() // nobody had to go down for any of it
	w.ns.IP("link set eth2 down")
	w.soon(w.has("link show dev eth2", ",UP"))
	w.soon(w.has("addr show dev eth2", "2001:db8:1::2/64"))
	w.soon(w.has("route show", "default via 203.0.113.1 dev eth2"))
	w.soon(w.has("-6 route show", "default via 2001:db8:1::1 dev eth2"))
	w.waitState("wan", iface.Up)
	// `ip addr flush` deletes until nothing is left: that is a fight.
	w.ns.IP("addr flush dev eth2 scope global")
	nstest.Eventually(t, 6*time.Second, w.has("addr show dev eth2", "203.0.113.2/24"))
	// This route has gone for the third time within 10 s: it waits its time.
	nstest.Eventually(t, 6*time.Second, w.has("route show", "198.51.100.0/24 via 203.0.113.9"))
}

func TestFoughtOverKeyBacksOff(t *testing.T) {
	w := basicWorld(t)
	w.start()
	w.waitState("wan", iface.Up)
	w.quiet()
	before := w.writes()
	fought := ""
	deadline := time.Now().Add(2500 * time.Millisecond)
	for time.Now().Before(deadline) {
		w.ns.Try("ip", "addr", "del", "192.168.1.1/24", "dev", "br-lan")
		w.on(func(c *core.Core) {
			for _, f := range c.Planner().Failures("interface lan") {
				if f.Code == "FOUGHT" {
					fought = f.Message
				}
			}
		})
		time.Sleep(10 * time.Millisecond)
	}
	if fought == "" {
		t.Errorf("a key that somebody fights over is not shown as FOUGHT: %s", w.describe())
	}
	if n := w.writes() - before; n > 6 {
		t.Errorf("%d writes within 2.5 s for a key that is fought over", n)
	}
	// The other gives up: it comes back.
	nstest.Eventually(t, 5*time.Second, w.has("addr show dev br-lan", "192.168.1.1/24"))
}

func TestForeignObjectsAreLeftAlone(t *testing.T) {
	w := basicWorld(t)
	w.ns.IP("link set eth2 up")
	w.ns.IP("addr add 203.0.113.2/24 brd 203.0.113.99 dev eth2") // ours, but different
	w.ns.IP("addr add 10.99.0.1/24 dev eth2")
	w.ns.IP("route add 198.18.0.0/15 via 203.0.113.77")
	w.ns.IP("route add default via 203.0.113.77 proto boot")
	w.ns.IP("rule add prio 50 from 10.99.0.0/24 lookup main")
	w.ns.IP("link add foreign0 type veth peer name foreign1")
	w.start()
	w.waitState("wan", iface.Up)
	w.quiet()
	for cmd, want := range map[string]string{"addr show dev eth2": "inet 10.99.0.1/24", "route show": "198.18.0.0/15 via 203.0.113.77",
		"rule show": "50:	from 10.99.0.0/24 lookup main", "link show dev foreign0": "foreign0@foreign1"} {
		if s := w.has(cmd, want)(); s != "" {
			t.Errorf("what is not ours was touched: %s", s)
		}
	}
	if s := w.has("addr show dev eth2", "brd 203.0.113.99")(); s != "" {
		t.Errorf("an address of somebody else was changed: %s", s)
	}
	if s := w.has("route show", "default via 203.0.113.77")(); s != "" {
		t.Errorf("a route of somebody else was changed: %s", s)
	}
	codes := map[string]int{}
	w.on(func(c *core.Core) {
		for _, f := range c.Planner().Failures("interface wan") {
			codes[f.Code]++
		}
	})
	if codes["KEY_TAKEN"] != 2 {
		t.Errorf("failures of wan: %v, want KEY_TAKEN twice: %s", codes, w.describe())
	}
	// When it goes, ours is written.
	w.ns.IP("route del default via 203.0.113.77")
	w.soon(w.has("route show", "default via 203.0.113.1 dev eth2 proto static"))
	w.ns.IP("addr del 203.0.113.2/24 dev eth2")
	w.soon(w.has("addr show dev eth2", "203.0.113.2/24 brd 203.0.113.255"))
	// Down removes what is ours and nothing else.
	w.command(core.VerbDown, "wan")
	w.waitAddrs("eth2", "10.99.0.1/24")
	if !w.up("eth2") {
		t.Error("eth2 was up before us and is down now")
	}
}

func TestForeignLinkWithOurName(t *testing.T) {
	w := basicWorld(t)
	w.ns.IP("link add br-lan type veth peer name brx")
	w.start()
	if s := w.state("lan"); s == iface.Up && w.link("br-lan", "info_kind") != "veth" {
		t.Fatal("a link of somebody else was replaced")
	}
	taken := false
	w.on(func(c *core.Core) {
		for _, f := range c.Planner().Failures("device br-lan") {
			taken = taken || f.Code == "KEY_TAKEN"
		}
	})
	if !taken {
		t.Errorf("no KEY_TAKEN: %s", w.describe())
	}
	w.ns.IP("link del br-lan")
	w.waitState("lan", iface.Up)
	w.wantLink("br-lan", "info_kind", "bridge")
}

func TestTakeover(t *testing.T) {
	w := basicWorld(t)
	w.ns.IP("link set eth2 up")
	w.ns.IP("addr add 203.0.113.2/24 brd 203.0.113.99 dev eth2")
	w.ns.IP("addr add 10.99.0.1/24 dev eth2")
	w.ns.IP("route add 198.18.0.0/15 via 203.0.113.77")
	w.ns.IP("route add 198.20.0.0/16 via 203.0.113.77 proto bgp")
	w.ns.IP("link add br-lan type veth peer name brx")
	w.config("config globals 'globals'\n\toption takeover '1'\n" + basicConfig)
	w.start()
	w.waitState("lan", iface.Up)
	w.wantLink("br-lan", "info_kind", "bridge")
	w.soon(w.has("addr show dev eth2", "203.0.113.2/24 brd 203.0.113.255"))
	w.waitAddrs("eth2", "203.0.113.2/24", "2001:db8:1::2/64")
	if got := w.ns.IP("route show"); strings.Contains(got, "198.18.0.0/15") || !strings.Contains(got, "198.20.0.0/16") {
		t.Errorf("a takeover removes static routes on the device and leaves those of routing daemons:\n%s", got)
	}
}

func TestAdoptionAfterRestart(t *testing.T) {
	w := basicWorld(t)
	w.start()
	w.waitState("lanalias", iface.Up)
	w.waitState("wan", iface.Up)
	w.command(core.VerbDown, "lanalias")
	w.quiet()
	w.stop()
	if got := strings.Join(w.ns.Addrs("br-lan"), " "); got != "192.168.1.1/24" {
		t.Fatalf("after the end br-lan has %s", got)
	}
	addrs, links := w.watch("address"), w.watch("link")
	w.start()
	w.waitState("wan", iface.Up)
	w.quiet()
	if got := addrs() + links(); got != "" {
		t.Errorf("a restart changed something:\n%s", got)
	}
	if n := w.writes(); n != 0 {
		t.Errorf("a restart wrote %d times", n)
	}
	if w.state("lanalias") != iface.Down {
		t.Error("what was taken down came up with the restart")
	}
	// What was configured away meanwhile goes, once all is settled.
	w.stop()
	i := strings.Index(basicConfig, "config interface 'wan'")
	j := strings.Index(basicConfig, "config interface 'lanalias'")
	w.config(basicConfig[:i] + basicConfig[j:])
	w.start()
	w.waitAddrs("eth2")
	w.soon(func() string {
		if w.up("eth2") {
			return "eth2 is still up"
		}
		return ""
	})
	w.waitAddrs("br-lan", "192.168.1.1/24")
}
