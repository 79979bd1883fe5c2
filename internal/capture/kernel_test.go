package capture

import (
	"slices"
	"strings"
)

// kernel is what `ip` printed, by name of the listing.
type kernel map[string]string

// The listings, with the words for ip.
var listings = []struct{ name, words string }{
	{"ip-addr", "-d addr show"},
	{"ip-route4", "-4 route show table all"},
	{"ip-route6", "-6 route show table all"},
	{"ip-rule4", "-4 rule show"},
	{"ip-rule6", "-6 rule show"},
}

func (w *world) kernel() kernel {
	k := kernel{}
	for _, l := range listings {
		k[l.name] = w.ns.IP(l.words)
	}
	return k
}

// facts takes the listings apart into named facts that can be compared, and
// names the addresses that are tentative.
func (k kernel) facts() (facts map[string]string, tentative []string) {
	out := map[string]string{}
	p := addrParser{out: out}
	for _, l := range strings.Split(k["ip-addr"], "\n") {
		p.line(l)
	}
	for _, l := range listings[1:] {
		for _, text := range strings.Split(k[l.name], "\n") {
			if f := strings.Fields(text); len(f) > 0 {
				out[l.name+" "+strings.Join(stable(f), " ")] = "there"
			}
		}
	}
	return out, p.tentative
}

// dropLocal takes the local routes of these addresses out.
func dropLocal(facts map[string]string, addrs []string) {
	for name := range facts {
		if f := strings.Fields(name); len(f) > 2 && f[0] == "ip-route6" && f[1] == "local" && slices.Contains(addrs, f[2]) {
			delete(facts, name)
		}
	}
}

// stable leaves out of a route what changes by itself.
func stable(words []string) []string {
	if i := slices.Index(words, "expires"); i >= 0 && i+1 < len(words) {
		words = slices.Delete(slices.Clone(words), i, i+2)
	}
	return words
}

// addrParser reads `ip -d addr show`.
type addrParser struct {
	out  map[string]string
	dev  string
	last string // name of the last address

	// tentative are addresses that the kernel still probes for duplicates:
	// they have no local route yet.
	tentative []string
}

func (p *addrParser) line(l string) {
	f := strings.Fields(l)
	switch {
	case len(f) == 0:
	case l[0] != ' ':
		p.link(f)
	case strings.HasPrefix(f[0], "link/"):
		p.put("address", f[1])
		p.put("broadcast", after(f, "brd"))
		p.put("promiscuity", after(f, "promiscuity"))
		p.put("allmulti", after(f, "allmulti"))
		p.kind(f[min(len(f), 4):])
	case f[0] == "inet" || f[0] == "inet6":
		p.last = "address " + f[0] + " " + f[1]
		if i := slices.Index(f, "tentative"); i >= 0 {
			f = slices.Delete(f, i, i+1)
			p.tentative = append(p.tentative, strings.Split(f[1], "/")[0])
		}
		p.put(p.last, strings.Join(f[2:], " "))
	case f[0] == "valid_lft":
		if f[1] != "forever" || f[3] != "forever" {
			p.put(p.last, p.out[p.dev+" "+p.last]+" with lifetime")
		}
	default:
		p.kind(f)
	}
}

// link reads "2: eth0@if2: <UP,…> mtu 1500 qdisc … master br-lan state UP …".
func (p *addrParser) link(f []string) {
	name, below, _ := strings.Cut(strings.TrimSuffix(f[1], ":"), "@")
	p.dev = name
	if !strings.HasPrefix(below, "if") { // an ifindex elsewhere
		p.put("on", below)
	}
	flags := strings.Split(strings.Trim(f[2], "<>"), ",")
	slices.Sort(flags)
	p.put("flags", strings.Join(flags, ","))
	for _, w := range []string{"mtu", "master", "state", "qlen", "group"} {
		p.put(w, after(f, w))
	}
}

// kept are the words of `ip -d` about bridges, their ports and other kinds
// whose value configuration decides.
var kept = []string{"forward_delay", "hello_time", "max_age", "ageing_time", "stp_state", "priority", "vlan_filtering",
	"bridge_id", "mcast_snooping", "mcast_router", "mcast_querier", "mcast_hash_max", "mcast_last_member_count",
	"mcast_startup_query_count", "mcast_last_member_interval", "mcast_membership_interval", "mcast_querier_interval",
	"mcast_query_interval", "mcast_query_response_interval", "mcast_startup_query_interval", "mode",
	"cost", "hairpin", "guard", "root_block", "fastleave", "learning", "flood", "mcast_flood", "bcast_flood",
	"mcast_to_unicast", "neigh_suppress", "isolated"}

// kind reads the words about the kind of a link, and about its master.
func (p *addrParser) kind(f []string) {
	prefix := ""
	if len(f) > 0 {
		switch f[0] {
		case "veth", "bridge", "macvlan", "vlan":
			p.put("kind", f[0])
		case "bridge_slave":
			prefix = "port "
		}
	}
	for i := 0; i+1 < len(f); i++ {
		if f[i] == "state" {
			i++ // of the spanning tree: a matter of time
			continue
		}
		if slices.Contains(kept, f[i]) {
			p.put(prefix+f[i], f[i+1])
			i++
		}
	}
}

func (p *addrParser) put(name, value string) { p.out[p.dev+" "+name] = value }

func after(f []string, word string) string {
	if i := slices.Index(f, word); i >= 0 && i+1 < len(f) {
		return f[i+1]
	}
	return ""
}
