package mirror_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// silentWorld is what every case begins with: two pairs of links, three
// networks, and routes of every sort through them.
var silentWorld = []string{
	"link set lo up",
	"link add va type veth peer name vb", "link set va up", "link set vb up",
	"link add vc type veth peer name vd", "link set vc up", "link set vd up",
	"addr add 10.0.0.1/24 dev va", "addr add 10.9.0.1/24 dev vc", "addr add 10.9.1.1/24 dev vc", "addr add 10.8.0.1/32 dev vc",
	"addr add fd00:1::1/64 dev va nodad", "addr add fd00:2::1/64 dev vc nodad",
	"route add 10.1.0.0/16 via 10.0.0.9", "route add 10.2.0.0/16 dev va", "route add blackhole 10.3.0.0/16",
	"route add 10.4.0.0/16 via 10.9.1.9 src 10.9.0.1", "route add 10.5.0.0/16 via 10.0.0.9 table 100",
	"route add 10.4.1.0/24 via 10.9.1.9 src 10.9.0.1 table 100",
	"route add 10.7.0.0/16 via 10.9.1.9", "route append 10.7.0.0/16 via 10.0.0.9", "route add 10.7.0.0/16 via 10.0.0.9 metric 5",
	"-6 route add 2001:db8:1::/48 via fd00:1::9", "-6 route add 2001:db8:2::/48 via fd00:2::9",
}

// two hops: one route through both pairs, one twice through the first.
var silentMultipath = []string{
	"route add 10.6.0.0/16 nexthop via 10.0.0.9 nexthop via 10.9.1.9",
	"route add 10.6.1.0/24 nexthop via 10.0.0.9 nexthop via 10.0.0.8",
	"-6 route add 2001:db8:6::/48 nexthop via fd00:1::9 nexthop via fd00:2::9",
	"-6 route add 2001:db8:61::/48 nexthop via fd00:1::9 nexthop via fd00:1::8 nexthop via fd00:2::9",
}

// next-hop objects, and routes by them.
var silentObjects = []string{
	"nexthop add id 1 via 10.0.0.9 dev va", "nexthop add id 2 via 10.9.1.9 dev vc", "nexthop add id 3 group 1/2", "nexthop add id 4 group 1",
	"-6 nexthop add id 11 via fd00:1::9 dev va", "-6 nexthop add id 12 via fd00:2::9 dev vc", "nexthop add id 13 group 11/12",
	"route add 10.20.0.0/16 nhid 1", "route add 10.21.0.0/16 nhid 2", "route add 10.22.0.0/16 nhid 3", "route add 10.23.0.0/16 nhid 4 table 100",
	"-6 route add 2001:db8:20::/48 nhid 11", "-6 route add 2001:db8:21::/48 nhid 12", "-6 route add 2001:db8:22::/48 nhid 13",
}

// silentCases: the kernel changes its tables without a word, or with less than
// it takes. Each fails when its rule is taken out of the engine.
var silentCases = []struct {
	name   string
	sysctl string
	more   []string // of the world
	ops    []string // compared after each; those joined by a semicolon are heard at once
	alone  bool     // only with nothing else going on

	reading rtnl.Kind // the one table that is read meanwhile, if it matters which
}{
	{name: "link down", ops: []string{"link set va down"}},
	{name: "link down and up", ops: []string{"link set va down", "link set va up"}},
	{name: "link down and up at once", ops: []string{"link set va down;link set va up"}},
	{name: "link down, up and routes again at once", ops: []string{"link set va down;link set va up;route add 10.1.0.0/16 via 10.0.0.9"}},
	{name: "peer down", ops: []string{"link set vb down", "link set vb up"}},
	{name: "last address gone", ops: []string{"addr del 10.0.0.1/24 dev va"}},
	{name: "last address gone and back at once", ops: []string{"addr del 10.0.0.1/24 dev va;addr add 10.0.0.1/24 dev va"}},
	{name: "last address gone, another came before", ops: []string{"addr add 10.0.5.1/24 dev va;addr del 10.0.0.1/24 dev va"}},
	{name: "all addresses flushed", ops: []string{"addr flush dev vc"}},
	{name: "source address gone", ops: []string{"addr del 10.9.0.1/24 dev vc"}},
	{name: "source address elsewhere too", more: []string{"addr add 10.9.0.1/32 dev va"}, ops: []string{"addr del 10.9.0.1/24 dev vc", "addr del 10.9.0.1/32 dev va"}},
	{name: "link deleted", ops: []string{"link del va"}},
	{name: "link deleted that is down", ops: []string{"link set va down;link del va"}},
	{name: "peer deleted", ops: []string{"link del vb"}},
	{name: "link deleted and made again at once", ops: []string{"link del va;link add va index 77 type veth peer name vb;link set va up;addr add 10.0.0.1/24 dev va"}},
	{name: "same ifindex again", more: []string{"link add ve index 55 type veth peer name vf index 56", "link set ve up", "link set dev vf up", "addr add 10.55.0.1/24 dev ve", "route add 10.56.0.0/16 via 10.55.0.9"},
		ops: []string{"link del ve;link add ve index 55 type veth peer name vf index 56;link set ve up;addr add 10.55.0.1/24 dev ve"}},
	{name: "link moved to another namespace", ops: []string{"link set va netns OTHER"}},
	{name: "secondaries go with their primary", sysctl: "net.ipv4.conf.va.promote_secondaries=0",
		more: []string{"addr add 10.0.0.2/24 dev va", "addr add 10.10.0.1/24 dev va", "route add 10.44.0.0/16 via 10.0.0.9 src 10.0.0.2"}, ops: []string{"addr del 10.0.0.1/24 dev va"}},
	{name: "a secondary becomes primary", sysctl: "net.ipv4.conf.va.promote_secondaries=1",
		more: []string{"addr add 10.0.0.2/24 dev va", "route add 10.44.0.0/16 via 10.0.0.9 src 10.0.0.2", "route add 10.45.0.0/16 via 10.0.0.9 src 10.0.0.1"}, ops: []string{"addr del 10.0.0.1/24 dev va"}},
	{name: "secondary deleted", more: []string{"addr add 10.0.0.2/24 dev va", "route add 10.44.0.0/16 via 10.0.0.9 src 10.0.0.2"}, ops: []string{"addr del 10.0.0.2/24 dev va"}},
	{name: "MTU too small for IPv6", ops: []string{"link set va mtu 1200", "link set va mtu 1500"}},
	{name: "two legs, one link down", more: silentMultipath, ops: []string{"link set va down", "link set va up"}},
	{name: "two legs, both links down", more: silentMultipath, ops: []string{"link set va down", "link set vc down"}},
	{name: "two legs, both links down at once", more: silentMultipath, ops: []string{"link set va down;link set vc down"}},
	{name: "two legs, one link deleted", more: silentMultipath, ops: []string{"link del va"}},
	{name: "two legs, one deleted by hand", more: silentMultipath, ops: []string{"-6 route del 2001:db8:6::/48 via fd00:1::9", "-6 route del 2001:db8:61::/48 via fd00:1::8"}},
	{name: "two legs, a third added", more: silentMultipath, ops: []string{"-6 route append 2001:db8:6::/48 via fd00:1::7", "-6 route replace 2001:db8:61::/48 via fd00:1::7"}},
	{name: "two legs, last address of one gone", more: silentMultipath, ops: []string{"addr del 10.0.0.1/24 dev va"}},
	{name: "two legs, one up again, the last address of the other gone", reading: rtnl.KindLink, more: silentMultipath,
		ops: []string{"link set va down", "link set va up;addr flush dev vc"}},
	{name: "two legs, the last one down, an address for the other too late", reading: rtnl.KindAddr, more: silentMultipath,
		ops: []string{"addr flush dev vc", "link set va down;addr add 10.9.7.1/24 dev vc"}},
	{name: "last address gone, another comes", reading: rtnl.KindAddr, ops: []string{"addr del 10.0.0.1/24 dev va;addr add 10.0.0.3/24 dev va"}},
	{name: "next-hop object deleted", more: silentObjects, ops: []string{"nexthop del id 1", "nexthop del id 11"}},
	{name: "next-hop objects, link down", more: silentObjects, ops: []string{"link set va down", "link set va up", "link set vc down"}},
	{name: "next-hop objects, link deleted", more: silentObjects, ops: []string{"link del va"}},
	{name: "next-hop objects, address gone", more: silentObjects, ops: []string{"addr del 10.0.0.1/24 dev va"}},
	{name: "next-hop object replaced", more: silentObjects, ops: []string{"nexthop replace id 1 via 10.9.1.7 dev vc", "nexthop replace id 3 group 2", "-6 nexthop replace id 11 via fd00:2::7 dev vc"}},
	{name: "next-hop object replaced, no compatibility", sysctl: "net.ipv4.nexthop_compat_mode=0", more: silentObjects,
		ops: []string{"nexthop replace id 1 via 10.9.1.7 dev vc", "nexthop replace id 3 group 2", "-6 nexthop replace id 11 via fd00:2::7 dev vc"}},
	{name: "next-hop group deleted", more: silentObjects, ops: []string{"nexthop del id 3", "nexthop del id 13"}},
	{name: "next-hop objects deleted, no compatibility", sysctl: "net.ipv4.nexthop_compat_mode=0", more: silentObjects,
		ops: []string{"nexthop del id 1", "nexthop del id 11", "nexthop del id 3", "nexthop del id 13"}},
	{name: "next-hop objects flushed", more: silentObjects, ops: []string{"nexthop flush"}},
	{name: "rule of a link that goes and comes", more: []string{"rule add iif va lookup 100 pref 1000"},
		ops: []string{"link del va", "rule del pref 1000"}},
	{name: "rule of a link that comes", more: []string{"rule add oif vx lookup 100 pref 1000"},
		ops: []string{"link set vc down;link set vc name vx", "rule del pref 1000"}},
	{name: "IPv6: one that is no sibling stands first", more: []string{"-6 route add 2001:db8:7::/48 dev vc", "-6 route append 2001:db8:7::/48 via fd00:1::9"},
		ops: []string{"-6 route replace 2001:db8:7::/48 nexthop via fd00:1::7 nexthop via fd00:1::8", "-6 route replace 2001:db8:7::/48 via fd00:1::6", "-6 route replace 2001:db8:7::/48 dev va"}},
	{name: "IPv6: no sibling there to replace", more: []string{"-6 route add 2001:db8:7::/48 dev vc", "-6 route append 2001:db8:7::/48 dev va"},
		ops: []string{"-6 route replace 2001:db8:7::/48 via fd00:1::7"}},
	// Which of two equal routes a dump has shown, nobody can tell.
	{name: "IPv6: equal routes", alone: true, more: []string{"-6 route add 2001:db8:7::/48 dev vc", "-6 route append 2001:db8:7::/48 dev va"},
		ops: []string{"-6 route replace 2001:db8:7::/48 dev va", "-6 route del 2001:db8:7::/48 dev va", "-6 route del 2001:db8:7::/48 dev va"}},
	{name: "first of a slot replaced", ops: []string{"route prepend 10.7.0.0/16 dev va;route replace 10.7.0.0/16 via 10.9.1.7", "route del 10.7.0.0/16"}},
}

// TestSilent follows the kernel through the changes that it does not announce:
// with nothing else going on, while every table is being read, and while one is,
// so that some announcements wait and others do not.
func TestSilent(t *testing.T) {
	for i, c := range silentCases {
		one := cmp.Or(c.reading, tableKinds[i%len(tableKinds)])
		for _, reading := range [][]rtnl.Kind{nil, tableKinds, {one}} {
			if len(reading) == 1 && testing.Short() || reading != nil && c.alone {
				continue
			}
			t.Run(fmt.Sprintf("%s, reading %v", c.name, reading), func(t *testing.T) {
				ns, other := nstest.New(t), nstest.New(t)
				batch(t, ns, silentWorld)
				if c.sysctl != "" {
					ns.Run("sysctl -q -w " + c.sysctl)
				}
				batch(t, ns, c.more)
				r := newRig(t, ns, 1, 1<<20)
				if d := r.difference(); len(d) > 0 {
					t.Fatalf("before, %s", differ(d))
				}
				for _, ops := range c.ops {
					r.recent = nil
					for op := range strings.SplitSeq(ops, ";") {
						ns.IP(strings.ReplaceAll(op, "OTHER", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), other.FD())))
					}
					for _, k := range reading {
						r.e.Refresh(k) // nothing has been heard yet
					}
					if d := r.difference(); len(d) > 0 {
						t.Fatalf("after %s, %s\nhandled:\n%s", ops, differ(d), r.history())
					}
				}
				if n := r.e.Stats().Losses; n > 0 {
					t.Errorf("%d losses", n)
				}
			})
		}
	}
}

// batch runs many commands of ip at once.
func batch(t *testing.T, ns *nstest.NS, ops []string) {
	t.Helper()
	if len(ops) == 0 {
		return
	}
	file := filepath.Join(t.TempDir(), "batch")
	writeFile(t, file, strings.ReplaceAll(strings.Join(ops, "\n"), "-6 ", "")+"\n")
	ns.Run("ip -batch " + file)
}
