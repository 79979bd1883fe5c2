package capture

import (
	"regexp"
	"testing"
)

// accepted is the one table of what may differ, and why. A line of it that no
// difference needs fails the test.
var accepted = []struct{ run, differs, because string }{
	{"", `\.errors\[\d+\]\.message: netifd nothing`,
		"every error has a sentence for people besides its code"},
	{"base", `\.badaddr\.errors\[[12]\]: netifd \{"subsystem":"proto","code":"INVALID_ADDRESS","data":\["300\.1\.2\.3"\]\}, netbraid nothing$`,
		"netifd repeats an error at each try; netbraid knows that nothing has changed"},

	// An address whose prefix has gone stays deprecated for a while. Here our
	// route of its /64 stays with it; netifd has the kernel make one for the
	// whole subnet, which is still there when the prefix has come back.
	{"base", `^br-lan address inet6 2001:db8:100::1/60: netifd 'scope global deprecated dynamic with lifetime', netbraid 'scope global deprecated dynamic noprefixroute with lifetime'$`,
		"the route of a deprecated address is ours"},
	{"base", `^ip-route6 2001:db8:100::/64 dev br-lan proto static metric 1024 pref medium: netifd nothing, netbraid 'there'$`,
		"the route of a deprecated address is ours"},
	{"base", `^ip-route6 2001:db8:100::/60 dev br-lan proto kernel metric 256 pref medium: netifd 'there', netbraid nothing$`,
		"the route of a deprecated address is ours"},
	{"devices", `^ip-rule6 42000000\d\d: from all iif eth2 12: .*, netbraid nothing$`,
		"a rule of netifd's policy for sources, with an action (RTN_FAILED_POLICY) that only its own kernel acts on"},

	{"devices", `^(dump|status)\.unkproto\.`,
		"netifd shows an unknown protocol as an interface that is up with protocol none; netbraid shows the error INVALID_PROTO"},
	{"devices", `^events of unkproto: netifd 'ifup', netbraid nothing$`, "the same: no ifup for an unknown protocol"},
	{"devices", `^(dump|status)\.g\.errors: netifd nothing, netbraid \[\{"subsystem":"kernel","code":"NOT_PERMITTED"`,
		"an IPv6 address on a device with option ipv6 0: the kernel refuses it and netbraid says so, netifd is silent"},
	{"proto", `^((dump|status)\.taskdies\.|events of taskdies:|eth9 |ip-route4 .* dev eth9 )`,
		"a task that dies again and again: netifd starts it again at once each time, netbraid backs off and says what has happened"},
	{"proto", `^(dump|status)\.checkup\.(errors|pending): `,
		"a setup that brings nothing within checkup_interval: netbraid says so, and backs off before the next"},
	{"proto", `^(dump|status)\.full\.ipv6-prefix\[0\]\.(preferred|valid): netifd (3\d\d\d, netbraid 1\d\d\d|1\d\d\d, netbraid 3\d\d\d)$`,
		"netifd reads the two lifetimes of a prefix the wrong way round"},
	{"proto", `^(dump|status)\.lan\.ipv6-prefix-assignment\[1\]\.(preferred|valid): netifd (3\d\d\d, netbraid 1\d\d\d|1\d\d\d, netbraid 3\d\d\d)$`,
		"the same, of the subnet"},
	{"proto", `^(dump|status)\.lan\.ipv6-prefix-assignment\[1\]\.local-address\.(address|mask): netifd nothing, netbraid`,
		"with its lifetimes the wrong way round the kernel refuses netifd's address"},
	{"proto", `^(eth0 address inet6|ip-route6|ip-route6 local|ip-rule6 4200000000: from) 2001:db8:5000::1?/?.*: netifd nothing, netbraid`,
		"the same: there are no address, route and rule of this subnet"},
	{"proto", `^eth0 address inet6 2001:db8:6000::1/64: netifd 'scope global deprecated dynamic with lifetime', netbraid 'scope global deprecated dynamic noprefixroute with lifetime'$`,
		"the route of a deprecated address is ours"},
	{"proto", `^ip-route6 2001:db8:6000::/64 dev eth0 proto static metric 1024 pref medium: netifd nothing, netbraid 'there'$`,
		"the route of a deprecated address is ours"},
	{"proto", `^(events of (slow|fail): netifd 'ifdown', netbraid nothing)$`, "netifd sends ifdown for an interface that was not up"},
	{"proto", `^events of (slow: hotplug: netifd 'ifdown', netbraid nothing|fail: hotplug: netifd 'ifup-failed ifdown', netbraid 'ifup-failed')$`, "the same"},
	{"proto", `^events of checkup: hotplug: netifd nothing, netbraid 'ifup-failed'$`, "a setup that brings nothing within checkup_interval has failed: scripts are told"},
	{"proto", `^events of nd: hotplug: netifd '(.*) ifdown ifup(.*)', netbraid '(.*) ifdown ifup-failed ifup(.*)'$`,
		"a handler that has lost its device ends before it starts again; netifd says so only when a task has died"},
	{"proto", `^ip-route6 2001:db8:6000::/64 dev eth0 proto kernel metric 256 pref medium: netifd 'there', netbraid nothing$`,
		"the route of a deprecated address is ours"},
	{"proto", `^device\.ndp-nd: .*, netbraid nothing$`, "netifd shows every link that it has heard of; netbraid devices that configuration or an interface names"},
	{"proto", `^device\.eth7\.external: netifd true, netbraid false$`, "only the addresses of the interface are somebody else's; its device is ours to bring up"},
	{"proto", `^eth2 address inet.*metric 7 `, "connected routes are the kernel's, which gets the metric with the address; netifd puts others in their place"},
	{"proto", `^ip-route[46] \S+ dev eth2 proto (static|kernel) .*metric 7( pref medium)?: `, "the same"},
	{"proto", `^ip-route4 10\.51\.0\.9 dev eth2 proto kernel scope link src 10\.51\.0\.2: netifd 'there', netbraid nothing$`, "the same"},
	{"devices", `^device\.br0\.mtu6: netifd 1500, netbraid 1400$`,
		"netifd shows the mtu6 from before the mtu was set; the kernel has 1400"},
}

// judge splits differences into those that the table accepts and the others.
type judge struct {
	rules []*regexp.Regexp
	used  []bool
}

// newJudge takes the lines of the table for a run, and those for all.
func newJudge(run string) *judge {
	j := &judge{used: make([]bool, len(accepted))}
	for _, a := range accepted {
		var r *regexp.Regexp
		if a.run == "" || a.run == run {
			r = regexp.MustCompile(a.differs)
		}
		j.rules = append(j.rules, r)
	}
	return j
}

// left gives the differences that nothing accepts.
func (j *judge) left(diffs []string) (out []string) {
next:
	for _, d := range diffs {
		for i, r := range j.rules {
			if r != nil && r.MatchString(d) {
				j.used[i] = true
				continue next
			}
		}
		out = append(out, d)
	}
	return out
}

// finish fails for lines of the table that nothing needed.
func (j *judge) finish(t *testing.T) {
	for i, a := range accepted {
		if j.rules[i] != nil && !j.used[i] {
			t.Errorf("accepted difference %q did not occur (%s)", a.differs, a.because)
		}
	}
}
