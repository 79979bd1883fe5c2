package sim

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// Actions and flags of rules (linux/fib_rules.h).
const (
	frActToTable     = 1
	frActGoto        = 2
	frActNop         = 3
	frActBlackhole   = 6
	frActUnreachable = 7
	frActProhibit    = 8

	ruleInvert     = 2
	ruleUnresolved = 4
	ruleIifGone    = 8
	ruleOifGone    = 16

	prefLocal   = 0
	prefMain    = 32766
	prefDefault = 32767
)

type rule struct{ rtnl.Rule }

type ruleList struct{ rules []rule }

// Families of the multicast routing rules, which are there but do nothing here.
const (
	ipmr  = 2
	ip6mr = 3

	familyIPMR  = 128 // RTNL_FAMILY_IPMR, linux/rtnetlink.h
	familyIP6MR = 129
)

// defaultRules are three for IPv4 and two for IPv6, which has no table default.
func (k *Kernel) defaultRules() {
	add := func(family uint8, pref, table uint32) {
		f := familyIndex(family)
		switch family {
		case familyIPMR:
			f = ipmr
		case familyIP6MR:
			f = ip6mr
		}
		k.rules[f].rules = append(k.rules[f].rules, rule{rtnl.Rule{Family: family, Action: frActToTable, Priority: pref, Table: table,
			Protocol: unix.RTPROT_KERNEL, SuppressPL: -1, SuppressIG: -1}})
	}
	add(unix.AF_INET, prefLocal, unix.RT_TABLE_LOCAL)
	add(unix.AF_INET, prefMain, unix.RT_TABLE_MAIN)
	add(unix.AF_INET, prefDefault, unix.RT_TABLE_DEFAULT)
	add(unix.AF_INET6, prefLocal, unix.RT_TABLE_LOCAL)
	add(unix.AF_INET6, prefMain, unix.RT_TABLE_MAIN)
	add(familyIPMR, prefDefault, unix.RT_TABLE_DEFAULT)
	add(familyIP6MR, prefDefault, unix.RT_TABLE_MAIN)
}

// matches tells whether the rule applies to a flow of the kernel's own, which
// comes from the loopback link and has neither mark nor ports.
func (r *rule) matches(f *flow) bool {
	m := (!r.Src.IsValid() || f.src.IsValid() && r.Src.Contains(f.src) || r.Src.Bits() == 0) &&
		(!r.Dst.IsValid() || r.Dst.Contains(f.dst)) &&
		(r.IifName == "" || r.IifName == "lo") && r.OifName == "" && r.Mark&r.Mask == 0 &&
		(r.TOS == 0 || r.TOS == f.tos) && r.IPProto == 0 && r.SportStart == 0 && r.DportStart == 0 && r.TunID == 0
	return m != (r.Flags&ruleInvert != 0)
}

// target is the place of the first rule with the priority that a goto names.
func (l *ruleList) target(pref uint32) int {
	return slices.IndexFunc(l.rules, func(r rule) bool { return r.Priority == pref })
}

func (k *Kernel) ruleRequest(h rtnl.Header, r *rtnl.Rule, given bool) *rtnl.Error {
	if r.Family != unix.AF_INET && r.Family != unix.AF_INET6 {
		return fail(unix.EAFNOSUPPORT, "")
	}
	if h.Type == unix.RTM_NEWRULE {
		return k.newRule(h, r, given)
	}
	return k.delRule(r, given)
}

// newRule is fib_nl_newrule.
func (k *Kernel) newRule(h rtnl.Header, r *rtnl.Rule, given bool) *rtnl.Error {
	l := &k.rules[familyIndex(r.Family)]
	n := rule{*r}
	if e := k.checkRule(&n); e != nil {
		return e
	}
	if h.Flags&unix.NLM_F_EXCL != 0 && slices.ContainsFunc(l.rules, func(o rule) bool { return o.same(&n, given) }) {
		return fail(unix.EEXIST, "")
	}
	if !given && len(l.rules) > 1 && l.rules[1].Priority > 0 {
		n.Priority = l.rules[1].Priority - 1
	}
	k.attach(&n)
	if n.Action == frActGoto {
		if n.Goto <= n.Priority {
			return fail(unix.EINVAL, "Backward goto not supported")
		}
		if l.target(n.Goto) < 0 {
			n.Flags |= ruleUnresolved
		}
	}
	at := slices.IndexFunc(l.rules, func(o rule) bool { return o.Priority > n.Priority })
	if at < 0 {
		at = len(l.rules)
	}
	l.rules = slices.Insert(l.rules, at, n)
	for i := range l.rules {
		if l.rules[i].Action == frActGoto && l.rules[i].Goto == n.Priority {
			l.rules[i].Flags &^= ruleUnresolved
		}
	}
	if r.Family == unix.AF_INET {
		k.fib4.custom = true
	}
	k.notifyRule(unix.RTM_NEWRULE, &n.Rule)
	return nil
}

func (k *Kernel) checkRule(n *rule) *rtnl.Error {
	normalise(&n.Rule)
	if n.Action == frActToTable && n.Table == 0 && n.L3MDev == 0 {
		if n.Family == unix.AF_INET6 {
			return fail(unix.EINVAL, "Invalid table")
		}
		for id := uint32(1); id < unix.RT_TABLE_DEFAULT; id++ {
			if t := k.fib4.tables[id]; t == nil || len(t.nodes) == 0 {
				n.Table = id
				break
			}
		}
	}
	return nil
}

// normalise brings a rule into the form in which the kernel keeps it.
func normalise(r *rtnl.Rule) {
	if r.Src.IsValid() && r.Src.Bits() == 0 {
		r.Src = netip.Prefix{}
	}
	if r.Dst.IsValid() && r.Dst.Bits() == 0 {
		r.Dst = netip.Prefix{}
	}
	if r.Mark != 0 && r.Mask == 0 {
		r.Mask = 0xffffffff
	}
	if r.Action == 0 {
		r.Action = frActToTable
	}
}

func (r *rule) same(o *rule, given bool) bool {
	a, b := r.Rule, o.Rule
	if !given {
		a.Priority = 0
	}
	const state = ruleUnresolved | ruleIifGone | ruleOifGone
	a.Flags &^= state
	b.Flags &^= state
	return a == b
}

// attach notes whether the links that the rule names exist.
func (k *Kernel) attach(r *rule) {
	r.Flags &^= ruleIifGone | ruleOifGone
	if r.IifName != "" && k.byName[r.IifName] == nil {
		r.Flags |= ruleIifGone
	}
	if r.OifName != "" && k.byName[r.OifName] == nil {
		r.Flags |= ruleOifGone
	}
}

// attachAll does so when a link came, went or got another name.
func (k *Kernel) attachAll() {
	for f := range k.rules {
		for i := range k.rules[f].rules {
			k.attach(&k.rules[f].rules[i])
		}
	}
}

// delRule is fib_nl_delrule: what the request names must agree.
func (k *Kernel) delRule(r *rtnl.Rule, given bool) *rtnl.Error {
	l := &k.rules[familyIndex(r.Family)]
	want := *r
	action := want.Action
	normalise(&want)
	want.Action = action
	for i, o := range l.rules {
		if given && o.Priority != want.Priority || !ruleMatches(&o.Rule, &want) {
			continue
		}
		l.rules = slices.Delete(slices.Clone(l.rules), i, i+1)
		if r.Family == unix.AF_INET {
			k.fib4.custom = true
		}
		k.unresolve(l, o.Priority)
		k.notifyRule(unix.RTM_DELRULE, &o.Rule)
		return nil
	}
	return fail(unix.ENOENT, "")
}

func (k *Kernel) unresolve(l *ruleList, pref uint32) {
	if l.target(pref) >= 0 {
		return
	}
	for i := range l.rules {
		if l.rules[i].Action == frActGoto && l.rules[i].Goto == pref {
			l.rules[i].Flags |= ruleUnresolved
		}
	}
}

// ruleMatches is rule_find and the match of the family.
func ruleMatches(o, w *rtnl.Rule) bool {
	return (w.Action == 0 || w.Action == o.Action) && (w.Table == 0 || w.Table == o.Table) &&
		(w.IifName == "" || w.IifName == o.IifName) &&
		(w.OifName == "" || w.OifName == o.OifName) && (w.Mark == 0 || w.Mark == o.Mark) && (w.Mask == 0 || w.Mask == o.Mask) &&
		(w.TOS == 0 || w.TOS == o.TOS) && (w.Protocol == 0 || w.Protocol == o.Protocol) && (w.IPProto == 0 || w.IPProto == o.IPProto) &&
		(w.TunID == 0 || w.TunID == o.TunID) && (w.SuppressPL < 0 || w.SuppressPL == o.SuppressPL) &&
		(w.SuppressIG < 0 || w.SuppressIG == o.SuppressIG) && (!w.Src.IsValid() || w.Src == o.Src) && (!w.Dst.IsValid() || w.Dst == o.Dst) &&
		(w.SportStart == 0 || w.SportStart == o.SportStart && w.SportEnd == o.SportEnd) &&
		(w.DportStart == 0 || w.DportStart == o.DportStart && w.DportEnd == o.DportEnd) && (w.Goto == 0 || w.Goto == o.Goto)
}

const fraPriority = 6 // FRA_PRIORITY

// hasAttr tells whether a body has an attribute behind its fixed part.
func hasAttr(body []byte, fixed int, typ uint16) bool {
	for b := body[min(fixed, len(body)):]; len(b) >= unix.SizeofRtAttr; {
		n := int(native.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return false
		}
		if native.Uint16(b[2:])&0x3fff == typ {
			return true
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return false
}
