package sim

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

const (
	vlanReorderHeader = 1 // VLAN_FLAG_*, linux/if_vlan.h
	vlanLooseBinding  = 4
	vlanKnownFlags    = 0x1f
	vlanMaxID         = 4094
)

// vlan holds what rtnl.VLAN does not show.
type vlan struct {
	realAddr rtnl.HWAddr // of the lower link, as this VLAN saw it last
	qos      qosMaps
}

// vlanFail names the module as NL_SET_ERR_MSG_MOD does.
func vlanFail(errno unix.Errno, extack string) *rtnl.Error { return fail(errno, "8021q: "+extack) }

// validateVLAN is vlan_validate, which runs before a VLAN is made or changed.
func validateVLAN(r *rtnl.LinkRequest) *rtnl.Error {
	has := func(f rtnl.LinkField) bool { return r.Set&f != 0 }
	switch {
	case has(rtnl.LinkAddr) && r.Addr.Len != 6:
		return vlanFail(unix.EINVAL, "Invalid link address")
	case has(rtnl.LinkAddr) && !validEther(r.Addr):
		return vlanFail(unix.EADDRNOTAVAIL, "Invalid link address")
	case dataKind(r.Set) != kindVLAN:
		return vlanFail(unix.EINVAL, "VLAN properties not specified")
	case has(rtnl.VLANProtocol) && r.VLAN.Protocol != unix.ETH_P_8021Q && r.VLAN.Protocol != unix.ETH_P_8021AD:
		return vlanFail(unix.EPROTONOSUPPORT, "Invalid VLAN protocol")
	case has(rtnl.VLANID) && r.VLAN.ID > vlanMaxID:
		return vlanFail(unix.ERANGE, "Invalid VLAN id")
	}
	return nil
}

// createVLAN is vlan_newlink. VLAN_FLAG_BRIDGE_BINDING is kept and shown, but
// has no effect.
func (k *Kernel) createVLAN(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	proto := uint16(unix.ETH_P_8021Q)
	if r.Set&rtnl.VLANProtocol != 0 {
		proto = r.VLAN.Protocol
	}
	switch {
	case r.Set&rtnl.VLANID == 0:
		return vlanFail(unix.EINVAL, "VLAN id not specified")
	case r.Set&rtnl.LinkParent == 0:
		return vlanFail(unix.EINVAL, "link not specified")
	}
	lower := k.links[r.Parent]
	if lower == nil {
		return vlanFail(unix.ENODEV, "link does not exist")
	}
	if lower.isLoop() {
		return vlanFail(unix.EOPNOTSUPP, "VLANs not supported on device")
	}
	for _, u := range lower.uppers {
		if u.Kind == kindVLAN && u.VLAN.ID == r.VLAN.ID && u.VLAN.Protocol == proto {
			return vlanFail(unix.EEXIST, "VLAN device already exists")
		}
	}
	if r.Set&rtnl.LinkMTU == 0 {
		l.MTU = lower.MTU
	} else if l.MTU > lower.MTU {
		return fail(unix.EINVAL, "")
	}
	l.VLAN = rtnl.VLAN{ID: r.VLAN.ID, Protocol: proto, Flags: vlanReorderHeader}
	if e := k.setVLAN(l, r); e != nil {
		return e
	}
	if !l.addrSet {
		l.Addr, l.addrStolen = lower.Addr, true
	}
	l.flags = lower.flags &^ (unix.IFF_UP | unix.IFF_PROMISC | unix.IFF_ALLMULTI | unix.IFF_MASTER | unix.IFF_SLAVE)
	l.lower = lower
	l.carrier = lower.carrier
	if e := k.registerNamed(l); e != nil {
		return e
	}
	lower.uppers = append(lower.uppers, l)
	k.event(evChangeUpper, lower)
	k.transferState(lower, l)
	k.fire(l)
	return nil
}

// setVLAN is vlan_changelink, which passes over an id and a protocol.
func (k *Kernel) setVLAN(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	if r.Set&rtnl.VLANFlags != 0 {
		l.VLAN.Flags = r.VLAN.Flags & vlanKnownFlags // the mask that rtnl.AppendLink gives
	}
	if r.Set&rtnl.VLANIngress != 0 {
		l.vlan.qos.setIngress(r.VLAN.Ingress)
		l.VLAN.Ingress = l.vlan.qos.showIngress()
	}
	if r.Set&rtnl.VLANEgress != 0 {
		l.vlan.qos.setEgress(r.VLAN.Egress)
		l.VLAN.Egress = l.vlan.qos.showEgress()
	}
	return nil
}

// openVLAN is vlan_dev_open.
func (k *Kernel) openVLAN(l *link) *rtnl.Error {
	if !l.lower.up() && l.VLAN.Flags&vlanLooseBinding == 0 {
		return fail(unix.ENETDOWN, "")
	}
	if l.Addr != l.lower.Addr && !k.inheritAddr(l) {
		k.unicast(l.lower, l, true)
	}
	l.vlan.realAddr = l.lower.Addr
	if l.lower.carrier {
		k.setCarrier(l, true)
	}
	return nil
}

// inheritAddr is vlan_dev_inherit_address: a VLAN without an address of its
// own has that of the link below.
func (k *Kernel) inheritAddr(l *link) bool {
	if !l.addrStolen || l.addrSet {
		return false
	}
	l.Addr = l.lower.Addr
	k.event(evChangeAddr, l)
	return true
}

// closeVLAN is vlan_dev_stop.
func (k *Kernel) closeVLAN(l *link) {
	k.unsyncUnicast(l)
	k.unicast(l.lower, l, false)
	k.setCarrier(l, false)
}

// setVLANAddr is vlan_dev_set_mac_address.
func (k *Kernel) setVLANAddr(l *link, a rtnl.HWAddr) {
	if l.up() {
		k.unicast(l.lower, l, a != l.lower.Addr)
	}
}

// syncAddr is vlan_sync_address: the link below has another address.
func (k *Kernel) syncAddr(l *link) {
	if l.vlan.realAddr == l.lower.Addr {
		return
	}
	if !k.inheritAddr(l) {
		k.unicast(l.lower, l, l.Addr != l.lower.Addr)
	}
	l.vlan.realAddr = l.lower.Addr
}

// vlans are the VLANs on a link in the order in which events reach them:
// vlan_group_for_each_dev.
func (l *link) vlans() []*link {
	var vs []*link
	for _, u := range l.uppers {
		if u.Kind == kindVLAN {
			vs = append(vs, u)
		}
	}
	rank := func(u *link) int {
		if u.VLAN.Protocol == unix.ETH_P_8021AD {
			return 1
		}
		return 0
	}
	slices.SortFunc(vs, func(a, b *link) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.VLAN.ID, b.VLAN.ID)) })
	return vs
}

// vlanEvent is vlan_device_event for the VLANs on l.
func (k *Kernel) vlanEvent(ev event, l *link) {
	vs := l.vlans()
	if ev == evDown {
		vs = slices.DeleteFunc(vs, func(u *link) bool { return !u.up() || u.VLAN.Flags&vlanLooseBinding != 0 })
		slices.Reverse(vs)
		k.closeMany(vs)
		for _, u := range vs {
			k.transferState(l, u)
		}
		return
	}
	for _, u := range vs {
		switch ev {
		case evChange:
			k.transferState(l, u)
		case evUp:
			if u.up() {
				continue
			}
			if u.VLAN.Flags&vlanLooseBinding == 0 {
				k.changeFlags(u, u.userFlags()|unix.IFF_UP)
			}
			k.transferState(l, u)
		case evChangeMTU:
			if u.MTU > l.MTU {
				k.setMTU(u, l.MTU)
			}
		case evChangeAddr:
			if u.up() {
				k.syncAddr(u)
			}
		}
	}
}
