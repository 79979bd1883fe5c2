package vmtest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// netns is a named network namespace that goes with the test.
type netns struct {
	t    *testing.T
	name string
}

func newNetns(t *testing.T) netns {
	t.Helper()
	n := netns{t, fmt.Sprintf("vmtest-%d", os.Getpid())}
	command(t, "ip", "netns", "add", n.name)
	t.Cleanup(func() { command(t, "ip", "netns", "del", n.name) })
	return n
}

// run runs each line inside the namespace.
func (n netns) run(lines ...string) {
	n.t.Helper()
	for _, l := range lines {
		command(n.t, append([]string{"ip", "netns", "exec", n.name}, strings.Fields(l)...)...)
	}
}

func command(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// linkView is the part of `ip -details -json link` that the test compares.
type linkView struct {
	Name   string `json:"ifname"`
	Master string `json:"master"`
	Info   struct {
		Kind string `json:"info_kind"`
		Data struct {
			Protocol      string `json:"protocol"`
			ID            int    `json:"id"`
			Table         int    `json:"table"`
			Mode          string `json:"mode"`
			VLANFiltering int    `json:"vlan_filtering"`
		} `json:"info_data"`
	} `json:"linkinfo"`
}

func (n netns) links() map[string]linkView {
	n.t.Helper()
	var list []linkView
	out := command(n.t, "ip", "-n", n.name, "-details", "-json", "link", "show")
	if err := json.Unmarshal(out, &list); err != nil {
		n.t.Fatalf("ip -json link: %v\n%s", err, out)
	}
	links := map[string]linkView{}
	for _, l := range list {
		links[l.Name] = l
	}
	return links
}

// TestLinkKinds holds that the kernel loads, by itself, the modules for the link
// kinds that netbraid configures.
func TestLinkKinds(t *testing.T) {
	Require(t)
	n := newNetns(t)
	n.run(
		"ip link add d0 type dummy",
		"ip link add link d0 name q5 type vlan protocol 802.1Q id 5",
		"ip link add link d0 name s7 type vlan protocol 802.1ad id 7",
		"ip link add br0 type bridge vlan_filtering 1",
		"ip link add v0 type veth peer name v1",
		"ip link set v1 master br0",
		"ip link add link d0 name mv0 type macvlan mode bridge",
		"ip link add red type vrf table 10",
		"ip link set v0 master red",
		"ip link add bond0 type bond mode 802.3ad",
		"bridge vlan add dev v1 vid 42 pvid untagged",
	)
	type view struct {
		kind, master, proto, mode string
		id, table, filtering      int
	}
	want := map[string]view{
		"d0":    {kind: "dummy"},
		"q5":    {kind: "vlan", proto: "802.1Q", id: 5},
		"s7":    {kind: "vlan", proto: "802.1ad", id: 7},
		"br0":   {kind: "bridge", filtering: 1},
		"v0":    {kind: "veth", master: "red"},
		"v1":    {kind: "veth", master: "br0"},
		"mv0":   {kind: "macvlan", mode: "bridge"},
		"red":   {kind: "vrf", table: 10},
		"bond0": {kind: "bond", mode: "802.3ad"},
	}
	links := n.links()
	for name, w := range want {
		l := links[name]
		d := l.Info.Data
		if got := (view{l.Info.Kind, l.Master, d.Protocol, d.Mode, d.ID, d.Table, d.VLANFiltering}); got != w {
			t.Errorf("%s: got %+v, want %+v", name, got, w)
		}
	}
	if out := string(command(t, "ip", "netns", "exec", n.name, "bridge", "vlan", "show", "dev", "v1")); !strings.Contains(out, "42 PVID Egress Untagged") {
		t.Errorf("bridge vlan show dev v1: no PVID 42:\n%s", out)
	}
}

// TestNetem holds that traffic passes a VLAN of a veth pair and that netem
// loses all of it when told so.
func TestNetem(t *testing.T) {
	Require(t)
	n := newNetns(t)
	n.run(
		"ip link add v0 type veth peer name v1",
		"ip link set v0 up", "ip link set v1 up",
		"ip link add link v0 name v0.9 type vlan id 9",
		"ip link set v0.9 up",
		"tc qdisc add dev v0 root netem loss 100%",
	)
	out := string(command(t, "tc", "-n", n.name, "qdisc", "show", "dev", "v0"))
	if !strings.Contains(out, "netem") || !strings.Contains(out, "loss 100%") {
		t.Errorf("tc qdisc show: %s", out)
	}
	received := func() string {
		return strings.TrimSpace(string(command(t, "ip", "netns", "exec", n.name,
			"cat", "/sys/class/net/v1/statistics/rx_packets")))
	}
	// A datagram to an address that nobody has makes the kernel send ARP requests.
	provoke := func(addr string) {
		n.run("ip neigh flush dev v0.9")
		_ = exec.Command("ip", "netns", "exec", n.name, "bash", "-c",
			"echo x > /dev/udp/"+addr+"/9; exec sleep 1").Run()
	}
	n.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1", "ip addr add 192.0.2.1/24 dev v0.9")
	before := received()
	provoke("192.0.2.7")
	if after := received(); after != before {
		t.Errorf("netem loss 100%%: rx_packets of the peer went from %s to %s", before, after)
	}
	n.run("tc qdisc del dev v0 root")
	provoke("192.0.2.8")
	if after := received(); after == before {
		t.Errorf("without netem: rx_packets of the peer stays at %s", after)
	}
}

// TestMachine holds what the runner promises about the guest's system.
func TestMachine(t *testing.T) {
	Require(t)
	for _, p := range []string{
		"/proc/self/fd", "/sys/class/net/lo", "/sys/fs/bpf", "/dev/pts/ptmx", "/dev/shm",
		"/dev/net/tun", "/dev/ppp", "/dev/fd/0", "/run/netns", "/var/run/netns",
	} {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
	// The host's files, writable above; the test's own file is there already.
	if wd, err := os.Getwd(); err != nil || filepath.Base(wd) != "vmtest" {
		t.Errorf("working directory %s, %v", wd, err)
	}
	if err := os.WriteFile("smoke.tmp", []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
	flags, err := os.ReadFile("/sys/class/net/lo/flags")
	if err != nil || strings.TrimSpace(string(flags)) != "0x9" {
		t.Errorf("lo has flags %s, %v, want UP and LOOPBACK (0x9)", flags, err)
	}
	nics, err := filepath.Glob("/sys/class/net/*/device")
	if err != nil || len(nics) > 0 {
		t.Errorf("the guest has network cards: %v, %v", nics, err)
	}
}
