package story

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/rtnl"
)

// world is a network namespace with netbraid in it, real or simulated.
type world interface {
	// request does what somebody else asks of the kernel.
	request(msg []byte) error
	// dump reads a table of the kernel.
	dump(kind rtnl.Kind) ([][]byte, error)
	// sysctl and setSysctl read and write a setting below /proc/sys/net.
	sysctl(path string) (string, error)
	setSysctl(path, value string) error
	// configure writes the configuration file; netbraid reads it at a start
	// and at a reload.
	configure(text string) error
	// start returns when the configuration has settled.
	start() error
	// kill abandons netbraid: only what it has written down remains.
	kill() error
	running() bool
	command(v core.Verb, name string) (core.Status, error)
	reload() error
	// look runs f while the core is at rest.
	look(f func(c *core.Core)) error
	// now is the time of the world, pass lets some of it pass.
	now() time.Time
	pass(d time.Duration) error
	// writes counts the operations since the world was made.
	writes() uint64
	// events lists what has been published: "ifup lan", ….
	events() []string
	// heard lists the notifications of addresses so far, see addrNews.
	heard() []string
}

// groups are what the shell subscribes to.
var groups = []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
	unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEIGH,
	unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF}

// tick is how often a world looks whether something has come true.
const tick = 5 * time.Millisecond

// eventually waits until f returns "", for d at most, and returns what it last
// said.
func eventually(w world, d time.Duration, f func() string) string {
	for end := w.now().Add(d); ; {
		why := f()
		if why == "" || w.now().After(end) {
			return why
		}
		if err := w.pass(tick); err != nil {
			return err.Error()
		}
	}
}

// always tells what f said first other than "" during d. An answer that came
// after d does not count.
func always(w world, d time.Duration, f func() string) string {
	for end := w.now().Add(d); ; {
		why := f()
		if w.now().After(end) {
			return ""
		}
		if why != "" {
			return why
		}
		if err := w.pass(tick); err != nil {
			return err.Error()
		}
	}
}

var addrMetric = regexp.MustCompile(` metric \d+`)

var lifetimes = regexp.MustCompile(` valid \d+s`)
var preferred = regexp.MustCompile(` preferred [1-9]\d*s`)

// timeless leaves out the seconds that lifetimes have left.
func timeless(line string) string {
	return preferred.ReplaceAllString(lifetimes.ReplaceAllString(line, " valid"), " preferred")
}

// settled leaves out what the kernel announces only later: a change of an IPv6
// address's metric comes with the end of duplicate address detection.
func settled(lines []string) []string {
	for i, l := range lines {
		l = timeless(l)
		lines[i] = l
		if strings.HasPrefix(l, "addr ") && strings.Contains(l, " tentative") {
			lines[i] = strings.TrimSuffix(addrMetric.ReplaceAllString(l, ""), " valid preferred")
		}
	}
	return lines
}

// busy says what is still under way: an operation, or a notification that the
// core has not seen. A core at rest has a mirror that is equal to the kernel.
func busy(w world) string {
	if !w.running() {
		return ""
	}
	why := ""
	err := w.look(func(c *core.Core) {
		if !c.Planner().Idle() {
			why = "operations are under way"
			return
		}
		lines, err := tables(w)
		if err != nil {
			why = err.Error()
			return
		}
		mirror := mirrorLines(c)
		mirror = slices.DeleteFunc(mirror, func(l string) bool { return strings.Contains(l, unannounced) })
		if d := difference(settled(mirror), settled(lines)); d != "" {
			why = "the mirror differs from the kernel:\n" + d
		}
	})
	if err != nil {
		return err.Error()
	}
	return why
}

func mirrorLines(c *core.Core) (lines []string) {
	c.Mirror().Each(
		func(l *rtnl.Link) { lines = append(lines, rtnl.FormatLink(l, nil)) },
		func(a *rtnl.Addr) { lines = append(lines, rtnl.FormatAddr(a, nil)) },
		func(r *rtnl.Route) { lines = append(lines, rtnl.FormatRoute(r, nil)) },
		func(r *rtnl.Rule) { lines = append(lines, rtnl.FormatRule(r, nil)) })
	slices.Sort(lines)
	return lines
}

// notMirrored is what the mirror leaves out on purpose, see its apply.go.
var notMirrored = strings.NewReplacer(" linkdown", "", " dead", "", " down carrier", " down")

// unannounced marks what the kernel has and does not tell of before duplicate
// address detection has ended: link-local addresses of its own.
const unannounced = " proto kernel_ll tentative"

// tables prints the kernel's objects as mirrorLines prints the mirror's.
func tables(w world) (lines []string, err error) {
	for _, kind := range []rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindRoute, rtnl.KindRule} {
		err := eachMessage(w, kind, func(h rtnl.Header, body []byte) {
			line := notMirrored.Replace(strings.TrimPrefix(rtnl.FormatMessage(h, body, nil), "+ "))
			if !strings.Contains(line, unannounced) {
				lines = append(lines, line)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(lines)
	return lines, nil
}

// difference lists the lines that only one has: "- a", "+ b".
func difference(a, b []string) string {
	var out []string
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out = append(out, "+ "+l)
		}
	}
	return strings.Join(out, "\n")
}

func noticeName(n iface.Notice) string {
	return map[iface.Notice]string{iface.IfUp: "ifup", iface.IfDown: "ifdown", iface.IfUpdate: "ifupdate", iface.IfUpFailed: "ifup-failed"}[n]
}

// addrNews gives the notifications of addresses in a datagram as "+ADDRESS"
// or "-ADDRESS"; link-local ones are left out.
func addrNews(b []byte) (out []string) {
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return out
		}
		b = rest
		var a rtnl.Addr
		kind, gone := rtnl.KindOf(h.Type)
		if kind != rtnl.KindAddr || rtnl.DecodeAddr(body, &a) != nil || a.Scope == unix.RT_SCOPE_LINK {
			continue
		}
		if gone {
			out = append(out, "-"+shortAddr(&a))
		} else {
			out = append(out, "+"+shortAddr(&a))
		}
	}
	return out
}
