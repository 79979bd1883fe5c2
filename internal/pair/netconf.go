package pair

import (
	"cmp"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// NetconfChanged takes settings of a link, or of all.
func (e *Engine) NetconfChanged(ns model.NS, old, new *rtnl.Netconf) {
	if !e.uses(ns) {
		return
	}
	n := cmp.Or(new, old)
	if u := e.byHost[linkID{ns, uint32(n.Index)}]; u != nil && n.Family == unix.AF_MPLS {
		e.mark(u)
	}
	ignores := func(n *rtnl.Netconf) bool { return n != nil && n.IgnoreLinkdown != 0 }
	if ignores(old) != ignores(new) {
		e.linkdownChanged(ns, n.Index)
	}
}

// linkdownChanged has routes looked at again through companions without a
// carrier: whether Linux passes over them is another matter now. With a carrier
// it does not matter, and when that goes they are looked at anyway.
func (e *Engine) linkdownChanged(ns model.NS, index int32) {
	for id, u := range e.byHost {
		if id.ns != ns || index != rtnl.NetconfAll && id.index != uint32(index) || !u.active {
			continue
		}
		if l := e.link(ns, id.index); l != nil && l.Flags&(unix.IFF_RUNNING|unix.IFF_LOWER_UP) == 0 {
			e.fib.Rebind(ns, id.index) // it looks at all of the namespace
			return
		}
	}
}

// settingsKnown has the pairs of a namespace looked at again that have waited for
// its settings.
func (e *Engine) settingsKnown(ns model.NS) {
	for _, id := range sortedKeys(e.units, unitID.compare) {
		if u := e.units[id]; u.ns == ns && u.active {
			e.mark(u)
		}
	}
}

// mplsWritten is what the configuration last had Linux set, on which link.
type mplsWritten struct {
	host uint32
	as   MPLS
}

// syncMPLS has the dataplane's interface take packets with labels if the
// companion does. A pair is in step without that: of a dataplane that cannot the
// error is shown.
func (e *Engine) syncMPLS(u *unit, l *rtnl.Link, i *dataplane.Interface) {
	on, known := e.mplsInput(u, l)
	e.set(dpKey(ofMPLS, u.phy), !known || i.MPLS == on, dataplane.Op{Kind: dataplane.SetMPLS, Index: u.phy, On: on})
}

// mplsInput tells whether packets with labels are to be taken, once that is
// known. What is configured, and has not been in force on this companion, is
// written to Linux; until it is there it holds for the dataplane all the same.
func (e *Engine) mplsInput(u *unit, l *rtnl.Link) (on, known bool) {
	n, there := e.mplsSetting(u)
	as := MPLSFollows
	if s := e.specOf(u); s != nil {
		as = s.MPLS
	}
	want, written := as == MPLSOn, mplsWritten{l.Index, as}
	switch {
	case !e.mirror(u.ns).Live(rtnl.KindNetconf):
		return false, false
	case n == nil && as == MPLSFollows:
		return false, !there
	case n == nil:
		u.mpls = mplsWritten{}
		return want, true
	case as == MPLSFollows || u.mpls == written:
	case (n.Input != 0) != want:
		k := linuxKey(u.ns, ofMPLS, l.Index)
		op := mplsOp(u.ns, l, want)
		e.linux(k, op, "MPLS input "+op.Value+" of "+l.Name)
		return want, true
	}
	u.mpls = written
	e.ledger.inPlace(linuxKey(u.ns, ofMPLS, l.Index))
	return n.Input != 0, true
}

// mplsSetting is the setting of a companion, nil for none. there: the kernel has
// MPLS, so that a link without a setting is one that is being renamed, or one
// of a kind that has none.
func (e *Engine) mplsSetting(u *unit) (n *rtnl.Netconf, there bool) {
	const loopback = 1 // in every namespace
	m := e.mirror(u.ns)
	return m.Netconf(unix.AF_MPLS, int32(u.host)), m.Netconf(unix.AF_MPLS, loopback) != nil
}

func mplsOp(ns model.NS, l *rtnl.Link, on bool) *plan.Op {
	value := "0"
	if on {
		value = "1"
	}
	k := model.SysctlKey{NS: ns, Index: l.Index, Name: "mpls/conf/input"}
	return &plan.Op{Kind: plan.SysctlSet, Device: l.Name, Key: k, Sysctl: k, Value: value}
}

// mplsAttr is whether packets with labels are taken, "none" in Linux where the
// kernel has no such setting.
func (e *Engine) mplsAttr(u *unit, i *dataplane.Interface) Attr {
	linux, same := "none", true
	if n, _ := e.mplsSetting(u); n != nil {
		linux, same = onOff(n.Input != 0), i.MPLS == (n.Input != 0)
	}
	return Attr{Name: "mpls", Owner: "linux", Dataplane: onOff(i.MPLS), Linux: linux, InStep: same}
}
