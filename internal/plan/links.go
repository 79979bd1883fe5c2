package plan

import (
	"cmp"
	"encoding/hex"
	"fmt"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// planLink compares one link, by name.
func (p *Planner) planLink(name string) {
	w := p.want.links[name]
	l := p.have.LinkByName(name)
	if l == nil {
		if w != nil && w.Create {
			p.createLink(w)
		} else {
			// Nothing to do before it is there; a write that came too late
			// for a link that has gone is no failure.
			p.ledger.inPlace(LinkKey{p.ns, name}, false)
		}
		return
	}
	o := p.owned.Links[l.Index]
	if o != nil && o.Created && o.Kind != l.Kind && !p.ledger.busy(LinkKey{p.ns, o.Name}) {
		// We asked for this ifindex, did not get it, and another link has it.
		delete(p.owned.Links, o.Index)
		p.record(Record{Link: o, Drop: true})
		o = nil
	}
	if o != nil && o.Created && o.Name != name && p.ledger.busy(LinkKey{p.ns, o.Name}) {
		o = nil // ours is being made (or renamed): whose this ifindex is will be seen
	}
	if o != nil && o.Created && o.Name != name && w == nil {
		p.renameBack(l, o)
		return
	}
	if w != nil && w.Create && !p.fits(w, l) {
		p.replaceLink(w, l, o)
		return
	}
	if w != nil && w.Takeover {
		p.takeOver(l)
	}
	if w == nil && o == nil && !p.promote[l.Index] {
		p.forgetSysctls(l.Index)
		p.ledger.inPlace(LinkKey{p.ns, name}, false)
		return
	}
	if o != nil && o.Created && (w == nil || !w.Create) {
		// Nobody asks for it, or somebody uses a device of its name that no
		// section makes any more.
		p.deleteLink(l, o, ForRelease)
		return
	}
	p.adjustLink(w, l, o)
}

// resolve completes a want with the ifindexes of its master and parent.
// waiting names the link that is not there yet.
func (p *Planner) resolve(w *LinkWant) (l rtnl.Link, waiting string) {
	l = w.Link
	l.Name = w.Name
	find := func(name string) uint32 {
		if name == "" {
			return 0
		}
		if h := p.have.LinkByName(name); h != nil {
			// A link of that name that is about to be made anew, or is
			// somebody else's, is not the one that is meant.
			if x := p.want.links[name]; x == nil || !x.Create || x.Link.Kind == h.Kind {
				return h.Index
			}
			waiting = name
			return 0
		}
		if i := p.pending[name]; i != 0 {
			return i
		}
		waiting = name
		return 0
	}
	if w.Set&rtnl.LinkParent != 0 {
		l.Parent = find(w.Parent)
	}
	if w.Set&rtnl.LinkMaster != 0 {
		l.Master = find(w.Master)
	}
	return l, waiting
}

// fits tells whether a link that is there can serve as the wanted one.
func (p *Planner) fits(w *LinkWant, l *rtnl.Link) bool {
	want, waiting := p.resolve(w)
	if waiting != "" && w.Fixed&rtnl.LinkParent != 0 {
		return true // not to be judged before the parent is there
	}
	if o := p.owned.Links[l.Index]; o != nil && o.Created && o.Data != infoData(w) {
		return false
	}
	return l.Kind == w.Link.Kind && (w.Fixed&w.Set).Diff(&want, l) == 0
}

// infoData is what a link is made with that has no field to compare.
func infoData(w *LinkWant) string { return hex.EncodeToString([]byte(w.Link.Data)) }

// createFields are sent with the creation of a link.
const createFields = rtnl.LinkUp | rtnl.LinkAddr | rtnl.LinkParent | rtnl.BridgeFields | rtnl.VLANFields |
	rtnl.MACVLANMode | rtnl.VRFTable

func (p *Planner) createLink(w *LinkWant) {
	key := LinkKey{p.ns, w.Name}
	want, waiting := p.resolve(w)
	if waiting != "" {
		if waiting == w.Parent {
			p.ledger.waits(key)
			return // LinkSeen wakes us
		}
	}
	// What makes the link goes with its creation; settings come after it, so
	// that their values before are known and a refused one does not keep the
	// link from being made. (A bridge's MTU given at creation would yield to
	// its first port's.)
	req := &rtnl.LinkRequest{Link: want, Set: rtnl.LinkName | w.Set&createFields}
	if p := p.have.Link(want.Parent); w.Set&^createFields != 0 || len(w.Sysctl) > 0 ||
		w.Parent != "" && (p == nil || p.Flags&unix.IFF_UP == 0) {
		req.Set &^= rtnl.LinkUp // up comes after settings, and after what the link is on
	}
	if p.lastIdx == 0 {
		p.lastIdx = p.have.MaxIndex()
		for _, i := range p.pending { // given, and not observed yet
			p.lastIdx = max(p.lastIdx, i)
		}
	}
	if w.Link.Kind == "veth" {
		p.lastIdx++
		req.Peer = &rtnl.VethPeer{Name: w.Peer, Index: p.lastIdx, Addr: w.PeerHW}
	}
	p.lastIdx++
	req.Index = p.lastIdx
	op := &Op{Kind: LinkCreate, Key: key, Owner: w.Owner, Device: w.Name, Link: req, rank: rankCreate, depth: w.Depth,
		Detail: req.Set.String()}
	if !p.emit(op) {
		return
	}
	p.pending[w.Name] = req.Index
	o := &OwnedLink{Index: req.Index, Name: w.Name, Created: true, Kind: w.Link.Kind, Data: infoData(w), Depth: w.Depth, Sysctl: map[string]string{}}
	p.owned.Links[req.Index] = o
	p.record(Record{Link: o})
}

// replaceLink deals with a link that has the wanted name and cannot serve.
func (p *Planner) replaceLink(w *LinkWant, l *rtnl.Link, o *OwnedLink) {
	if o == nil && !w.Takeover {
		p.taken(LinkKey{p.ns, w.Name}, w.Owner, "link "+w.Name,
			fmt.Sprintf("a link of type %q with this name is there and is not ours", kindName(l)))
		return
	}
	if o == nil || !o.Created {
		o = p.ownLink(l, w.Depth)
	}
	op := p.deleteOp(l, o, ForConfig)
	op.rank = rankRecreate
	op.Detail = "to be made anew: " + w.Fixed.String()
	p.emit(op)
}

func kindName(l *rtnl.Link) string {
	if l.Kind == "" {
		return "hardware"
	}
	return l.Kind
}

func (p *Planner) taken(key any, owner, object, why string) {
	p.ledger.note(key, Failure{Owner: owner, Code: "KEY_TAKEN", Object: object,
		Message: why + "; it is left alone (remove it, or set option takeover 1)"})
}

func (p *Planner) deleteOp(l *rtnl.Link, o *OwnedLink, why Reason) *Op {
	return &Op{Kind: LinkDelete, Key: LinkKey{p.ns, l.Name}, Device: l.Name, Reason: why, rank: rankLinkDelete,
		depth: -o.Depth, Link: &rtnl.LinkRequest{Link: rtnl.Link{Index: l.Index, Name: l.Name}}}
}

func (p *Planner) deleteLink(l *rtnl.Link, o *OwnedLink, why Reason) {
	if p.mayRemove() {
		p.emit(p.deleteOp(l, o, why))
	}
}

// renameBack gives a link of ours its name again.
func (p *Planner) renameBack(l *rtnl.Link, o *OwnedLink) {
	w := p.want.links[o.Name]
	if w == nil || p.have.LinkByName(o.Name) != nil {
		p.deleteLink(l, o, ForRelease)
		return
	}
	req := &rtnl.LinkRequest{Link: rtnl.Link{Index: l.Index, Name: o.Name}, Set: rtnl.LinkName}
	p.emit(&Op{Kind: LinkSet, Key: LinkKey{p.ns, o.Name}, Owner: w.Owner, Device: l.Name, Reason: ForDrift, Link: req,
		Detail: "name " + o.Name, rank: rankRecreate})
}

// adjustLink brings the attributes of a link to what is wanted, and those
// that are not wanted any more back to what they were. w or o may be nil.
func (p *Planner) adjustLink(w *LinkWant, l *rtnl.Link, o *OwnedLink) {
	key := LinkKey{p.ns, l.Name}
	if p.ledger.busy(key) {
		return // what is observed is about to change: Settle looks again
	}
	target := *l
	var set, waitSet rtnl.LinkField
	owner, depth := "", 0
	if w != nil {
		want, waiting := p.resolve(w)
		set, owner, depth = w.Set, w.Owner, w.Depth
		if waiting != "" {
			waitSet = rtnl.LinkMaster | rtnl.LinkParent | rtnl.PortFields
		}
		if want.Master == 0 || set&rtnl.LinkMaster == 0 {
			// A port has attributes only while it is one.
		} else if l.Master != want.Master {
			// The attributes of a port can be set once it is one.
			waitSet |= rtnl.PortFields
		}
		set &^= waitSet
		set.Copy(&target, &want)
	}
	var back rtnl.LinkField
	if o != nil && p.mayRemove() {
		back = o.Set &^ set &^ waitSet
		if back&rtnl.PortFields != 0 && l.Master == 0 {
			o.Set &^= rtnl.PortFields // they went with the bridge
			back &^= rtnl.PortFields
		}
		if m := p.have.Link(l.Master); back&rtnl.LinkMaster != 0 && m != nil && m.Kind == "openvswitch" {
			// It has been taken meanwhile by what alone can let it go.
			o.Set &^= rtnl.LinkMaster
			back &^= rtnl.LinkMaster
			p.record(Record{Link: o})
			p.tidyLink(o)
		}
		back.Copy(&target, &o.Orig)
		if back&rtnl.LinkMaster != 0 && p.have.Link(o.Orig.Master) == nil {
			target.Master = 0
		}
	}
	known, ready := p.planSysctls(w, l)
	if !known {
		return // what is there has to be known before anything is changed
	}
	o = p.owned.Links[l.Index]
	diff := (set | back).Diff(&target, l)
	if !ready {
		diff &^= rtnl.LinkUp // settings come before up
	}
	if e := p.ledger.entries[key]; e != nil && e.wrote == nil && e.attempts >= upAlone && diff&rtnl.LinkUp != 0 && target.Flags&unix.IFF_UP != 0 {
		diff = rtnl.LinkUp // one of the others is refused: that does not keep the link down
	}
	if diff == 0 {
		if back != 0 && o != nil {
			o.Set &^= back
			p.record(Record{Link: o})
			p.tidyLink(o)
		}
		if ready {
			p.ledger.inPlace(key, w != nil)
		}
		return
	}
	p.emitLinkSet(key, owner, depth, l, &target, diff, set, o)
}

// upAlone is how often the settings of a link are tried together with up before
// it is brought up without them.
const upAlone = 2

func (p *Planner) emitLinkSet(key LinkKey, owner string, depth int, l, target *rtnl.Link, diff, set rtnl.LinkField, o *OwnedLink) {
	req := &rtnl.LinkRequest{Link: *target, Set: diff}
	req.Kind, req.PortKind = "", "" // an existing link
	if diff&rtnl.BridgeFields != 0 || diff&(rtnl.VLANFields|rtnl.MACVLANMode|rtnl.VRFTable) != 0 {
		req.Kind = l.Kind
	}
	if diff&rtnl.PortFields != 0 {
		req.PortKind = "bridge"
	}
	op := &Op{Kind: LinkSet, Key: key, Owner: owner, Device: l.Name, Link: req, Detail: diff.String(), rank: rankLinkSet, depth: depth}
	if diff&set == 0 {
		op.Reason = ForRelease
	}
	if diff&rtnl.LinkUp != 0 && target.Flags&unix.IFF_UP == 0 {
		op.rank, op.depth = rankLinkDown, -depth
		if o != nil {
			op.depth = -o.Depth
		}
	}
	if !p.emit(op) {
		return
	}
	if mine := diff & set; mine != 0 {
		o = p.ownLink(l, depth)
		if fresh := mine &^ o.Set; fresh != 0 {
			fresh.Copy(&o.Orig, l)
			o.Set |= fresh
			p.record(Record{Link: o})
		}
	}
}

// planSysctls compares the settings of a link. known tells that all wanted ones
// have been read, ready that they are in place: the link is not brought up
// before. What cannot be set does not hold the link back.
func (p *Planner) planSysctls(w *LinkWant, l *rtnl.Link) (known, ready bool) {
	known, ready = true, true
	wanted := map[string]bool{}
	var list []model.Sysctl
	owner := ""
	if w != nil {
		list, owner = w.Sysctl, w.Owner
	}
	if p.promote[l.Index] {
		list = append(append([]model.Sysctl{}, list...), model.Sysctl{Name: promoteSecondaries, Value: "1"})
	}
	for _, s := range list {
		wanted[s.Name] = true
		if k := (model.SysctlKey{NS: p.ns, Index: l.Index, Name: s.Name}); !p.sysctlKnown(k) {
			p.ask(k)
			known = false
		}
	}
	if !known {
		return false, false
	}
	for _, s := range list {
		if s.Name == mtu6 && l.Flags&unix.IFF_UP == 0 {
			continue // the kernel resets it when the link comes up
		}
		if !p.planSysctl(l, owner, s) {
			ready = false
		}
	}
	if o := p.owned.Links[l.Index]; o != nil && p.mayRemove() {
		p.restoreSysctls(l, o, wanted)
	}
	return known, ready
}

// mtu6 follows the MTU of the link whenever that changes or comes up.
const mtu6 = "ipv6/conf/mtu"

// planSysctl compares one setting; false while it is being written.
func (p *Planner) planSysctl(l *rtnl.Link, owner string, s model.Sysctl) bool {
	k := model.SysctlKey{NS: p.ns, Index: l.Index, Name: s.Name}
	switch p.sysctl[k] {
	case s.Value:
		p.ledger.inPlace(k, true)
		return true
	case missingSysctl:
		p.ledger.note(k, Failure{Owner: owner, Code: "NOT_SUPPORTED", Object: "sysctl " + k.Path(l.Name),
			Message: "this kernel (or this link) has no such setting"})
		return true
	}
	_, failing := p.ledger.entries[k]
	op := &Op{Kind: SysctlSet, Key: k, Owner: owner, Device: l.Name, Sysctl: k, Value: s.Value, rank: rankSysctl}
	if !p.emit(op) {
		return failing
	}
	o := p.ownLink(l, 0)
	if _, ours := o.Sysctl[s.Name]; !ours {
		o.Sysctl[s.Name] = p.found[k]
		p.record(Record{Link: o})
	}
	return false
}

func (p *Planner) restoreSysctls(l *rtnl.Link, o *OwnedLink, wanted map[string]bool) {
	for _, name := range sortedBy(o.Sysctl, cmp.Compare[string]) {
		if wanted[name] {
			continue
		}
		k := model.SysctlKey{NS: p.ns, Index: l.Index, Name: name}
		v, known := p.sysctl[k]
		switch {
		case p.ledger.busy(k): // what is known of it is about to change: Settle looks again
		case !known:
			p.ask(k)
		case v == o.Sysctl[name] || v == missingSysctl:
			delete(o.Sysctl, name)
			p.record(Record{Link: o})
			delete(p.sysctl, k)
			delete(p.found, k)
			p.ledger.inPlace(k, false)
			p.tidyLink(o)
		default:
			p.emit(&Op{Kind: SysctlSet, Key: k, Device: l.Name, Sysctl: k, Value: o.Sysctl[name], Reason: ForRelease, rank: rankSysctlBack})
		}
	}
}

// promoteSecondaries keeps the other addresses of a subnet when the first one
// is removed (net.ipv4.conf.*.promote_secondaries).
const promoteSecondaries = "ipv4/conf/promote_secondaries"
