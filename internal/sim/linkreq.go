package sim

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

const maxName = unix.IFNAMSIZ - 1

// find is the link that a request addresses: by index, else by name.
func (k *Kernel) find(r *rtnl.LinkRequest) *link {
	if r.Index != 0 {
		return k.links[r.Index]
	}
	return k.byName[r.Name]
}

func (k *Kernel) linkRequest(h rtnl.Header, r *rtnl.LinkRequest) *rtnl.Error {
	named := r.Index != 0 || r.Set&rtnl.LinkName != 0
	if len(r.Name) > maxName {
		return fail(unix.ERANGE, "Attribute failed policy validation")
	}
	l := k.find(r)
	switch h.Type {
	case unix.RTM_SETLINK:
		if !named {
			return fail(unix.EINVAL, "")
		}
		if l == nil {
			return fail(unix.ENODEV, "")
		}
		return k.setLink(l, r, false)
	case unix.RTM_DELLINK:
		return k.delLink(l, r, named)
	}
	if r.Kind == kindVLAN && !k.opts.NoVLAN {
		if e := validateVLAN(r); e != nil {
			return e
		}
	}
	if l != nil {
		return k.changeLink(h, l, r)
	}
	if h.Flags&unix.NLM_F_CREATE == 0 {
		if r.Index == 0 && r.Set&rtnl.LinkGroup != 0 && !named {
			return k.setGroup(r)
		}
		return fail(unix.ENODEV, "")
	}
	return k.createLink(r)
}

func (k *Kernel) delLink(l *link, r *rtnl.LinkRequest, named bool) *rtnl.Error {
	if named {
		if l == nil {
			return fail(unix.ENODEV, "")
		}
		if l.Kind == "" {
			return fail(unix.EOPNOTSUPP, "")
		}
		k.deleteLinks([]*link{l})
		return nil
	}
	if r.Set&rtnl.LinkGroup == 0 {
		return fail(unix.EINVAL, "")
	}
	var ls []*link
	for _, o := range k.order {
		if o.Group == r.Group {
			if o.Kind == "" {
				return fail(unix.EOPNOTSUPP, "")
			}
			ls = append(ls, o)
		}
	}
	if len(ls) == 0 {
		return fail(unix.ENODEV, "")
	}
	k.deleteLinks(ls)
	return nil
}

func (k *Kernel) setGroup(r *rtnl.LinkRequest) *rtnl.Error {
	found := false
	for _, l := range slices.Clone(k.order) {
		if l.Group != r.Group {
			continue
		}
		found = true
		one := *r
		one.Set &^= rtnl.LinkGroup
		if e := k.setLink(l, &one, false); e != nil {
			return e
		}
	}
	if !found {
		return fail(unix.ENODEV, "")
	}
	return nil
}

// changeLink is RTM_NEWLINK for a link that exists.
func (k *Kernel) changeLink(h rtnl.Header, l *link, r *rtnl.LinkRequest) *rtnl.Error {
	if h.Flags&unix.NLM_F_EXCL != 0 {
		return fail(unix.EEXIST, "")
	}
	if h.Flags&unix.NLM_F_REPLACE != 0 {
		return fail(unix.EOPNOTSUPP, "")
	}
	announce := false
	if kind := dataKind(r.Set); kind != "" || (r.Kind == kindVeth && r.Peer != nil) {
		announce = true
		if kind == "" || (r.Kind != "" && r.Kind != l.Kind) || kind != l.Kind {
			return fail(unix.EOPNOTSUPP, "")
		}
		if e := k.changeKind(l, r); e != nil {
			return e
		}
	}
	if r.Set&rtnl.PortFields != 0 {
		if l.master == nil || l.master.Kind != kindBridge {
			return fail(unix.EINVAL, "")
		}
		announce = true
		if e := k.setPort(l, r); e != nil {
			return e
		}
	}
	return k.setLink(l, r, announce)
}

// dataKind is the kind whose IFLA_INFO_DATA the set of fields needs.
func dataKind(set rtnl.LinkField) string {
	switch {
	case set&rtnl.BridgeFields != 0:
		return kindBridge
	case set&rtnl.VLANFields != 0:
		return kindVLAN
	case set&rtnl.MACVLANMode != 0:
		return kindMACVLAN
	}
	return ""
}

// setLink is do_setlink. A request that changes more than it has announced
// otherwise ends with a notification of its own.
func (k *Kernel) setLink(l *link, r *rtnl.LinkRequest, announce bool) (e *rtnl.Error) {
	defer func() {
		if announce {
			k.stateChange(l)
		}
	}()
	if r.Set&rtnl.LinkAddr != 0 && r.Addr.Len < l.Addr.Len {
		return fail(unix.EINVAL, "")
	}
	if r.Set&rtnl.LinkAddrGenMode != 0 {
		if e := k.checkGenMode(l, r.AddrGenMode); e != nil {
			return e
		}
	}
	if r.HasNSFD {
		k.moveAway(l)
		return nil
	}
	if r.Set&rtnl.LinkAddr != 0 {
		if e := k.setAddr(l, r.Addr); e != nil {
			return e
		}
	}
	if r.Set&rtnl.LinkMTU != 0 {
		if e := k.setMTU(l, r.MTU); e != nil {
			return e
		}
	}
	if r.Set&rtnl.LinkGroup != 0 {
		l.Group = r.Group
		announce = true
	}
	if r.Index != 0 && r.Set&rtnl.LinkName != 0 {
		if e := k.rename(l, r.Name); e != nil {
			return e
		}
	}
	if r.Set&rtnl.LinkFlagFields != 0 {
		if e := k.changeFlags(l, combineFlags(l, r)); e != nil {
			return e
		}
	}
	if r.Set&rtnl.LinkMaster != 0 {
		if e := k.setMaster(l, r.Master); e != nil {
			return e
		}
	}
	if r.Set&rtnl.LinkTxQLen != 0 && r.TxQLen != l.TxQLen {
		l.TxQLen = r.TxQLen
		k.event(evChangeTxQLen, l)
	}
	if r.Set&rtnl.LinkAddrGenMode != 0 {
		k.setConf(v6, l.Name, confAddrGenMode, int64(r.AddrGenMode))
		announce = true
	}
	return nil
}

// combineFlags is rtnl_dev_combine_flags.
func combineFlags(l *link, r *rtnl.LinkRequest) uint32 {
	var change uint32
	for _, f := range []struct {
		field rtnl.LinkField
		bit   uint32
	}{
		{rtnl.LinkUp, unix.IFF_UP}, {rtnl.LinkMulticast, unix.IFF_MULTICAST}, {rtnl.LinkPromisc, unix.IFF_PROMISC},
		{rtnl.LinkAllMulti, unix.IFF_ALLMULTI}, {rtnl.LinkARP, unix.IFF_NOARP},
	} {
		if r.Set&f.field != 0 {
			change |= f.bit
		}
	}
	have := l.flags&^(unix.IFF_PROMISC|unix.IFF_ALLMULTI) | l.gflags&(unix.IFF_PROMISC|unix.IFF_ALLMULTI)
	return r.Flags&change | have&^change
}

func (k *Kernel) setAddr(l *link, a rtnl.HWAddr) *rtnl.Error {
	if a != l.Addr {
		if !validEther(a) {
			return fail(unix.EADDRNOTAVAIL, "")
		}
		if e := k.setKindAddr(l, a); e != nil {
			return e
		}
	}
	l.addrSet = true
	k.event(evChangeAddr, l)
	return nil
}

func validEther(a rtnl.HWAddr) bool {
	return a.Len == 6 && a.B[0]&1 == 0 && a != rtnl.MAC([6]byte{})
}

func validName(name string) bool {
	return name != "" && len(name) <= maxName && name != "." && name != ".." &&
		!strings.ContainsAny(name, "/: \t\n\v\f\r")
}

// chooseName replaces %d in a name pattern by the lowest number that is free.
func (k *Kernel) chooseName(name string) (string, *rtnl.Error) {
	if !validName(name) {
		return "", fail(unix.EINVAL, "")
	}
	before, after, found := strings.Cut(name, "%")
	if !found {
		if _, taken := k.byName[name]; taken {
			return "", fail(unix.EEXIST, "")
		}
		return name, nil
	}
	if !strings.HasPrefix(after, "d") || strings.Contains(after, "%") {
		return "", fail(unix.EINVAL, "")
	}
	for i := 0; ; i++ {
		n := before + strconv.Itoa(i) + after[1:]
		if len(n) > maxName {
			return "", fail(unix.EINVAL, "")
		}
		if _, taken := k.byName[n]; !taken {
			return n, nil
		}
	}
}

func (k *Kernel) rename(l *link, name string) *rtnl.Error {
	if name == l.Name {
		return nil
	}
	name, e := k.chooseName(name)
	if e != nil {
		return e
	}
	delete(k.byName, l.Name)
	old := l.Name
	k.renameConf(l.Name, name)
	l.Name = name
	k.byName[name] = l
	k.attachAll()
	k.event(evChangeName, l)
	k.mplsMoved(l, old)
	return nil
}

// createLink is RTM_NEWLINK for a link that does not exist.
func (k *Kernel) createLink(r *rtnl.LinkRequest) *rtnl.Error {
	pattern := r.Name
	switch r.Kind {
	case kindBridge, kindVeth, kindMACVLAN:
	case kindVLAN:
		if k.opts.NoVLAN {
			return fail(unix.EOPNOTSUPP, "Unknown device type")
		}
	default:
		return fail(unix.EOPNOTSUPP, "Unknown device type")
	}
	if r.Set&rtnl.LinkName == 0 {
		pattern = r.Kind + "%d"
	}
	l := k.newEther(pattern)
	l.Kind = r.Kind
	l.Index = r.Index
	if l.Kind == kindVLAN {
		l.minMTU = 0
	}
	if e := k.prepare(l, r); e != nil {
		return e
	}
	if e := k.createKind(l, r); e != nil {
		return e
	}
	if e := k.configure(l, r); e != nil {
		k.deleteLinks([]*link{l})
		return e
	}
	if r.Set&rtnl.LinkMaster != 0 {
		if e := k.setMaster(l, r.Master); e != nil {
			k.deleteLinks([]*link{l})
			return e
		}
	}
	if r.HasNSFD {
		k.moveAway(l)
	}
	return nil
}

// prepare is rtnl_create_link.
func (k *Kernel) prepare(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	if r.Set&rtnl.LinkAddr != 0 {
		if r.Addr.Len < 6 {
			return fail(unix.EINVAL, "")
		}
		l.Addr, l.addrSet = r.Addr, true
	}
	if r.Set&rtnl.LinkMTU != 0 {
		if r.MTU < l.minMTU {
			return fail(unix.EINVAL, "mtu less than device minimum")
		}
		if r.MTU > l.maxMTU {
			return fail(unix.EINVAL, "mtu greater than device maximum")
		}
		l.MTU = r.MTU
	}
	if r.Set&rtnl.LinkTxQLen != 0 {
		l.TxQLen = r.TxQLen
	}
	if r.Set&rtnl.LinkGroup != 0 {
		l.Group = r.Group
	}
	return nil
}

// configure is rtnl_configure_link.
func (k *Kernel) configure(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	old := l.flags
	if r != nil && r.Set&rtnl.LinkFlagFields != 0 {
		if e := k.applyFlags(l, combineFlags(l, r)); e != nil {
			return e
		}
	}
	l.announced = true
	k.announceFlags(l, old, true)
	return nil
}

// registerNamed chooses the name and registers.
func (k *Kernel) registerNamed(l *link) *rtnl.Error {
	name, e := k.chooseName(l.Name)
	if e != nil {
		return e
	}
	l.Name = name
	return k.register(l)
}

// setMaster is do_set_master.
func (k *Kernel) setMaster(l *link, index uint32) *rtnl.Error {
	if l.master != nil {
		if l.master.Index == index {
			return nil
		}
		k.delPort(l)
	}
	if index == 0 {
		return nil
	}
	m := k.links[index]
	if m == nil {
		return fail(unix.EINVAL, "")
	}
	if m.Kind != kindBridge {
		return fail(unix.EOPNOTSUPP, "")
	}
	return k.addPort(m, l)
}

// deleteLinks is dellink and unregister_netdevice_many for several links.
func (k *Kernel) deleteLinks(ls []*link) {
	var all []*link
	add := func(l *link) {
		if !slices.Contains(all, l) {
			all = append(all, l)
		}
	}
	for _, l := range ls {
		add(l)
		switch l.Kind {
		case kindVeth:
			if l.peer != nil {
				add(l.peer)
				l.peer.peer, l.peer = nil, nil
			}
		case kindBridge:
			for _, p := range slices.Clone(l.ports) {
				k.dropPort(p)
			}
		case kindMACVLAN, kindVLAN:
			k.detach(l)
		}
	}
	k.unregister(all)
}

// moveAway takes the link out of this namespace, to one that is not simulated.
func (k *Kernel) moveAway(l *link) {
	if l.peer != nil {
		l.peer.peerGone = true
	}
	k.unregister([]*link{l})
}
