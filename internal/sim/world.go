package sim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

var native = binary.NativeEndian

// AddHardware plugs in a network card: an Ethernet link without a kind, down,
// with carrier. It returns its ifindex. The name must be free and valid.
func (k *Kernel) AddHardware(name string) (uint32, error) {
	return k.addHardware(name, 0, k.randomMAC())
}

func (k *Kernel) addHardware(name string, index uint32, addr rtnl.HWAddr) (uint32, error) {
	l := k.newEther(name)
	l.maxMTU = maxMTUHW
	l.Index, l.Addr, l.PermAddr = index, addr, addr
	if e := k.registerNamed(l); e != nil {
		return 0, fmt.Errorf("sim: hardware %s: %w", name, e)
	}
	l.announced = true
	k.linkMessage(l)
	k.Settle()
	return l.Index, nil
}

// RemoveHardware unplugs a link, of any kind, with all that hangs on it.
func (k *Kernel) RemoveHardware(name string) error {
	l := k.byName[name]
	if l == nil || l == k.lo {
		return fmt.Errorf("sim: hardware %s: %w", name, unix.ENODEV)
	}
	k.deleteLinks([]*link{l})
	k.Settle()
	return nil
}

// SetCarrier plugs in or pulls out the cable of a link.
func (k *Kernel) SetCarrier(name string, on bool) error {
	l := k.byName[name]
	if l == nil {
		return fmt.Errorf("sim: carrier of %s: %w", name, unix.ENODEV)
	}
	k.setCarrier(l, on)
	k.Settle()
	return nil
}

// Index gives the ifindex of a link.
func (k *Kernel) Index(name string) (uint32, bool) {
	if l := k.byName[name]; l != nil {
		return l.Index, true
	}
	return 0, false
}

func (k *Kernel) name(index uint32) string {
	if l := k.links[index]; l != nil {
		return l.Name
	}
	return ""
}

// String prints the whole namespace, an object a line, in the order of dumps.
// Settings are printed where they differ from those of a new namespace.
func (k *Kernel) String() string {
	var b strings.Builder
	for _, l := range k.order {
		fmt.Fprintln(&b, rtnl.FormatLink(k.info(l), k.name))
	}
	for _, l := range k.order {
		if l.in4 != nil {
			for _, a := range l.in4.addrs {
				i := k.addrInfo4(a)
				fmt.Fprintln(&b, rtnl.FormatAddr(&i, k.name))
			}
		}
		if l.in6 != nil {
			for _, a := range l.in6.addrs {
				i := k.addrInfo6(a)
				fmt.Fprintln(&b, rtnl.FormatAddr(&i, k.name))
			}
		}
	}
	for _, key := range k.neighs.sorted() {
		fmt.Fprintln(&b, rtnl.FormatNeigh(k.neighs.m[key], k.name))
	}
	for _, f := range []int{v4, v6} {
		for i := range k.rules[f].rules {
			fmt.Fprintln(&b, rtnl.FormatRule(&k.rules[f].rules[i].Rule, k.name))
		}
	}
	k.printRoutes(&b)
	k.printConf(&b)
	return b.String()
}

func (k *Kernel) printRoutes(b *strings.Builder) {
	put := func(r rtnl.Route) { fmt.Fprintln(b, rtnl.FormatRoute(&r, k.name)) }
	for _, id := range k.fib4.ids {
		t := k.fib4.tables[id]
		for _, p := range t.sorted() {
			for _, a := range t.nodes[p] {
				put(k.info4(t, p, a))
			}
		}
	}
	for _, id := range k.fib6.ids {
		k.dumpTable6(k.fib6.tables[id], put)
	}
}

func (k *Kernel) printConf(b *strings.Builder) {
	for f, dir := range []string{"ipv4", "ipv6"} {
		for _, tree := range []string{"conf", "neigh"} {
			trees, defaults := k.conf[f].conf, defaultTrees[dir+"/"+tree]
			if tree == "neigh" {
				trees = k.conf[f].neigh
			}
			var lines []string
			for name, c := range trees {
				for key, v := range c.m {
					if v != defaults[key] && key != confMTU && name != "lo" && !(name == "all" && key == confAcceptDAD) {
						lines = append(lines, fmt.Sprintf("sysctl %s/%s/%s/%s = %d", dir, tree, name, key, v))
					}
				}
			}
			slices.Sort(lines)
			for _, line := range lines {
				fmt.Fprintln(b, line)
			}
		}
	}
}
