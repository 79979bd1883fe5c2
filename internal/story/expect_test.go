package story

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/api"
	"netbraid/internal/core"
	"netbraid/rtnl"
	"netbraid/ubus"
)

// expect checks something: that it comes true within a time, or stays true
// for one. What is to be not there is looked at when nothing is under way.
func (p *player) expect(within, stays time.Duration, words []string) error {
	e, ok := expectations[words[0]]
	args := words[1:]
	switch {
	case !ok:
		return fmt.Errorf("there is no expectation %q", words[0])
	case len(args) < e.min || e.max >= 0 && len(args) > e.max:
		return fmt.Errorf("expect %s: %d arguments, not %d to %d", words[0], len(args), e.min, e.max)
	}
	if e.quiet && stays == 0 {
		if err := p.quiet(); err != nil {
			return err
		}
	}
	f := func() string { return e.check(p, args) }
	why := ""
	if stays > 0 {
		why = always(p.w, stays, f)
	} else {
		why = eventually(p.w, within, f)
	}
	if why != "" && p.w.running() {
		_ = p.w.look(func(c *core.Core) { why += ": " + describe(c) })
	}
	if strings.HasPrefix(words[0], "events") && why == "" {
		p.told = len(p.w.events())
	}
	return asError(why)
}

type expectation struct {
	min, max int
	quiet    bool // what is under way has to end first
	check    func(p *player, args []string) string
}

var expectations = map[string]expectation{
	"state":            {2, 2, false, (*player).state},
	"interfaces":       {0, -1, false, (*player).interfaces},
	"addrs":            {1, -1, false, (*player).addrs},
	"addrs-unordered":  {1, -1, false, (*player).addrsUnordered},
	"addr":             {2, -1, false, (*player).addr},
	"route":            {1, 1, false, func(p *player, a []string) string { return p.has(routeLines, a[0], true) }},
	"no-route":         {1, 1, true, func(p *player, a []string) string { return p.has(routeLines, a[0], false) }},
	"rule":             {1, 1, false, func(p *player, a []string) string { return p.has(ruleLines, a[0], true) }},
	"no-rule":          {1, 1, true, func(p *player, a []string) string { return p.has(ruleLines, a[0], false) }},
	"neigh":            {1, 1, false, func(p *player, a []string) string { return p.has(neighLines, a[0], true) }},
	"no-neigh":         {1, 1, true, func(p *player, a []string) string { return p.has(neighLines, a[0], false) }},
	"link":             {1, -1, false, (*player).link},
	"no-link":          {1, 1, false, (*player).noLink},
	"port":             {2, 2, false, (*player).port},
	"sysctl":           {2, 2, false, (*player).sysctl},
	"writes":           {1, 1, true, (*player).countWrites},
	"writes-at-most":   {1, 1, true, (*player).mostWrites},
	"events":           {1, 1, true, (*player).events},
	"events-unordered": {1, 1, true, (*player).eventsUnordered},
	"announced":        {1, 1, true, (*player).announced},
	"error":            {2, 3, false, (*player).hasError},
	"no-error":         {1, 2, true, (*player).noError},
	"nothing-owned":    {0, 0, true, (*player).nothingOwned},
	"resolv":           {1, 1, false, (*player).resolv},
}

func (p *player) state(a []string) string {
	got := "no such interface"
	err := p.w.look(func(c *core.Core) {
		if m := c.Interface(a[0]); m != nil {
			got = m.State().String()
		}
	})
	return differs(a[0], got, a[1], err)
}

func differs(what, got, want string, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case got != want:
		return fmt.Sprintf("%s is %q, not %q", what, got, want)
	}
	return ""
}

func (p *player) interfaces(a []string) string {
	var got []string
	err := p.w.look(func(c *core.Core) { got = c.Interfaces() })
	slices.Sort(a)
	return differs("the list of interfaces", strings.Join(got, " "), strings.Join(a, " "), err)
}

func (p *player) addrs(a []string) string {
	got, err := p.addrsOf(a[0])
	return differs("addresses of "+a[0], strings.Join(got, " "), strings.Join(a[1:], " "), err)
}

// addrsUnordered is addrs for addresses that come one by one, in whatever
// order.
func (p *player) addrsUnordered(a []string) string {
	got, err := p.addrsOf(a[0])
	slices.Sort(got)
	return differs("addresses of "+a[0], strings.Join(got, " "), strings.Join(slices.Sorted(slices.Values(a[1:])), " "), err)
}

func (p *player) addrsOf(dev string) (got []string, err error) {
	index, err := ifindex(p.w, dev)
	if err != nil {
		return nil, err
	}
	all, err := read(p.w, rtnl.KindAddr, rtnl.DecodeAddr)
	for i := range all {
		if all[i].Index == index && all[i].Scope != unix.RT_SCOPE_LINK {
			got = append(got, shortAddr(&all[i]))
		}
	}
	return got, err
}

// addr looks for one address of a device that has all the words of each
// further argument.
func (p *player) addr(a []string) string {
	_, names, err := links(p.w)
	if err != nil {
		return err.Error()
	}
	all, err := read(p.w, rtnl.KindAddr, rtnl.DecodeAddr)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for i := range all {
		line := rtnl.FormatAddr(&all[i], names) + " "
		if names(all[i].Index) == a[0] {
			lines = append(lines, line)
			if !slices.ContainsFunc(a[1:], func(w string) bool { return !strings.Contains(line, " "+w+" ") }) {
				return ""
			}
		}
	}
	return fmt.Sprintf("%s has no address with %q: %q", a[0], a[1:], lines)
}

func routeLines(w world, names func(uint32) string) (out []string, err error) {
	all, err := read(w, rtnl.KindRoute, rtnl.DecodeRoute)
	for i := range all {
		out = append(out, strings.TrimPrefix(rtnl.FormatRoute(&all[i], names), "route "))
	}
	return out, err
}

func ruleLines(w world, names func(uint32) string) (out []string, err error) {
	all, err := read(w, rtnl.KindRule, rtnl.DecodeRule)
	for i := range all {
		out = append(out, strings.TrimPrefix(rtnl.FormatRule(&all[i], names), "rule "))
	}
	return out, err
}

// neighLines prints the neighbours that stand; those that the kernel learns by
// itself are a matter of traffic.
func neighLines(w world, names func(uint32) string) (out []string, err error) {
	all, err := read(w, rtnl.KindNeigh, rtnl.DecodeNeigh)
	for i := range all {
		if n := &all[i]; n.State&unix.NUD_PERMANENT != 0 {
			out = append(out, strings.TrimPrefix(rtnl.FormatNeigh(n, names), "neigh "))
		}
	}
	return out, err
}

// has looks for a line: exactly this one, or, where none is to be there, one
// that begins with it or ends with it.
func (p *player) has(read func(world, func(uint32) string) ([]string, error), want string, there bool) string {
	_, names, err := links(p.w)
	if err != nil {
		return err.Error()
	}
	lines, err := read(p.w, names)
	if err != nil {
		return err.Error()
	}
	for _, l := range lines {
		switch {
		case there && l == want:
			return ""
		case !there && (l == want || strings.HasPrefix(l, want+" ") || strings.HasSuffix(l, " "+want)):
			return "there is " + l
		}
	}
	if there {
		return fmt.Sprintf("there is no %q in\n  %s", want, strings.Join(lines, "\n  "))
	}
	return ""
}

// linkWords are the words that "expect link" compares by itself; what is not
// among them is looked for in the printed link: "stp 1", "mode bridge"; a value
// of 0 is not printed.
var linkWords = map[string]func(l *rtnl.Link, names func(uint32) string) string{
	"mtu":        func(l *rtnl.Link, _ func(uint32) string) string { return strconv.Itoa(int(l.MTU)) },
	"txqueuelen": func(l *rtnl.Link, _ func(uint32) string) string { return strconv.Itoa(int(l.TxQLen)) },
	"kind":       func(l *rtnl.Link, _ func(uint32) string) string { return l.Kind },
	"address":    func(l *rtnl.Link, _ func(uint32) string) string { return l.Addr.String() },
	"parent":     func(l *rtnl.Link, names func(uint32) string) string { return names(l.Parent) },
	"promisc":    func(l *rtnl.Link, _ func(uint32) string) string { return onOff(l.Flags&unix.IFF_PROMISC != 0) },
	"multicast":  func(l *rtnl.Link, _ func(uint32) string) string { return onOff(l.Flags&unix.IFF_MULTICAST != 0) },
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func (p *player) link(a []string) string {
	all, names, err := links(p.w)
	if err != nil {
		return err.Error()
	}
	i := slices.IndexFunc(all, func(l rtnl.Link) bool { return l.Name == a[0] })
	if i < 0 {
		return "there is no link " + a[0]
	}
	l := &all[i]
	line := rtnl.FormatLink(l, names) + " "
	for words := a[1:]; len(words) > 0; {
		if words[0] == "up" || words[0] == "down" {
			if up := l.Flags&unix.IFF_UP != 0; up != (words[0] == "up") {
				return a[0] + " is not " + words[0] + ": " + line
			}
			words = words[1:]
			continue
		}
		if len(words) < 2 {
			return words[0] + " needs a value"
		}
		word, want := words[0], words[1]
		words = words[2:]
		if f := linkWords[word]; f != nil {
			if got := f(l, names); got != want {
				return fmt.Sprintf("%s: %s is %q, not %q", a[0], word, got, want)
			}
		} else if there := strings.Contains(line, " "+word+" "+want+" "); !there && (want != "0" || strings.Contains(line, " "+word+" ")) {
			return fmt.Sprintf("%s: no %q: %s", a[0], word+" "+want, line)
		}
	}
	return ""
}

func (p *player) noLink(a []string) string {
	l, err := link(p.w, a[0])
	if err == nil && l != nil {
		return "there is a link " + a[0]
	}
	return differs("", "", "", err)
}

func (p *player) port(a []string) string {
	all, names, err := links(p.w)
	got := "no such link"
	for i := range all {
		if all[i].Name == a[0] {
			if got = names(all[i].Master); got == "" {
				got = "none"
			}
		}
	}
	return differs("the bridge of "+a[0], got, a[1], err)
}

func (p *player) sysctl(a []string) string {
	got, err := p.w.sysctl(a[0])
	return differs(a[0], got, a[1], err)
}

func (p *player) countWrites(a []string) string {
	return differs("the count of operations", strconv.FormatUint(p.w.writes()-p.wrote, 10), a[0], nil)
}

func (p *player) mostWrites(a []string) string {
	most, err := strconv.ParseUint(a[0], 10, 64)
	if n := p.w.writes() - p.wrote; err == nil && n > most {
		return fmt.Sprintf("%d operations, at most %d were expected", n, most)
	}
	return differs("", "", "", err)
}

// events compares what has been published since the last mark or expectation
// of events.
func (p *player) events(a []string) string {
	return differs("the list of events", strings.Join(p.w.events()[p.told:], ", "), a[0], nil)
}

// eventsUnordered is events for interfaces that do not wait for each other;
// the list of the story is sorted.
func (p *player) eventsUnordered(a []string) string {
	got := slices.Sorted(slices.Values(p.w.events()[p.told:]))
	return differs("the list of events", strings.Join(got, ", "), a[0], nil)
}

// announced compares the addresses that came and went since the last mark:
// "+192.0.2.7/24 -192.0.2.1/24".
func (p *player) announced(a []string) string {
	return differs("the list of announced addresses", strings.Join(reduce(p.w.heard(), p.heard), " "), a[0], nil)
}

// errorsOf lists the errors that `network.interface status` shows, each as
// "CODE message".
func (p *player) errorsOf(name string) (out []string, err error) {
	err = p.w.look(func(c *core.Core) {
		m := c.Interface(name)
		if m == nil {
			return
		}
		for _, e := range api.Errors(c, m) {
			line := ""
			for _, f := range e.(ubus.Table) {
				if f.Name != "subsystem" {
					line += fmt.Sprint(f.Value) + " "
				}
			}
			out = append(out, line)
		}
	})
	return out, err
}

func (p *player) hasError(a []string) string {
	list, err := p.errorsOf(a[0])
	if err != nil {
		return err.Error()
	}
	for _, e := range list {
		if strings.HasPrefix(e, a[1]+" ") && (len(a) < 3 || strings.Contains(e, a[2])) {
			return ""
		}
	}
	return fmt.Sprintf("%s has no error %q: %q", a[0], a[1:], list)
}

func (p *player) noError(a []string) string {
	list, err := p.errorsOf(a[0])
	if err != nil {
		return err.Error()
	}
	for _, e := range list {
		if len(a) == 1 || strings.HasPrefix(e, a[1]+" ") {
			return a[0] + " has " + e
		}
	}
	return ""
}

// resolv compares what the resolver was told last, its lines joined by " | ".
func (p *player) resolv(a []string) string {
	got := ""
	err := p.w.look(func(c *core.Core) {
		got = strings.ReplaceAll(strings.TrimSuffix(c.ResolvConf(), "\n"), "\n", " | ")
	})
	return differs("resolv.conf", got, a[0], err)
}

func (p *player) nothingOwned([]string) string {
	got := ""
	err := p.w.look(func(c *core.Core) {
		if o := c.Planner().Owned(); !o.Empty() {
			got = fmt.Sprintf("still ours: %d links %v, addresses %v, routes %v, rules %v, neighbours %v", len(o.Links), o.Links, o.Addrs, o.Routes, o.Rules, o.Neighs)
		}
	})
	return differs("what is ours", got, "", err)
}
