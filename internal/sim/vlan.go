package sim

import (
	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

const (
	vlanReorderHeader = 1 // VLAN_FLAG_*, linux/if_vlan.h
	vlanLooseBinding  = 4
	vlanMaxID         = 4094
)

func (k *Kernel) createVLAN(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	proto := uint16(unix.ETH_P_8021Q)
	if r.Set&rtnl.VLANProtocol != 0 {
		proto = r.VLAN.Protocol
	}
	switch {
	case dataKind(r.Set) != kindVLAN:
		return fail(unix.EINVAL, "VLAN properties not specified")
	case proto != unix.ETH_P_8021Q && proto != unix.ETH_P_8021AD:
		return fail(unix.EPROTONOSUPPORT, "Invalid VLAN protocol")
	case r.Set&rtnl.VLANID == 0:
		return fail(unix.EINVAL, "VLAN id not specified")
	case r.VLAN.ID > vlanMaxID:
		return fail(unix.ERANGE, "Invalid VLAN id")
	case r.Set&rtnl.LinkParent == 0:
		return fail(unix.EINVAL, "link not specified")
	}
	lower := k.links[r.Parent]
	if lower == nil {
		return fail(unix.ENODEV, "link does not exist")
	}
	if lower.isLoop() {
		return fail(unix.EOPNOTSUPP, "VLAN not supported on device")
	}
	for _, u := range lower.uppers {
		if u.Kind == kindVLAN && u.VLAN.ID == r.VLAN.ID && u.VLAN.Protocol == proto {
			return fail(unix.EEXIST, "VLAN device already exists")
		}
	}
	if r.Set&rtnl.LinkMTU == 0 {
		l.MTU = lower.MTU
	} else if l.MTU > lower.MTU {
		return fail(unix.EINVAL, "")
	}
	l.minMTU = 0
	l.VLAN = rtnl.VLAN{ID: r.VLAN.ID, Protocol: proto, Flags: vlanReorderHeader}
	if r.Set&rtnl.VLANFlags != 0 {
		l.VLAN.Flags = r.VLAN.Flags
	}
	l.VLAN.Ingress, l.VLAN.Egress = r.VLAN.Ingress, r.VLAN.Egress
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

func (k *Kernel) setVLAN(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	if r.Set&rtnl.VLANFlags != 0 {
		l.VLAN.Flags = r.VLAN.Flags
	}
	if r.Set&rtnl.VLANIngress != 0 {
		l.VLAN.Ingress = r.VLAN.Ingress
	}
	if r.Set&rtnl.VLANEgress != 0 {
		l.VLAN.Egress = r.VLAN.Egress
	}
	return nil
}

func (k *Kernel) openVLAN(l *link) *rtnl.Error {
	if !l.lower.up() && l.VLAN.Flags&vlanLooseBinding == 0 {
		return fail(unix.ENETDOWN, "")
	}
	if l.Addr != l.lower.Addr {
		k.unicast(l.lower, l, true)
	}
	if l.flags&unix.IFF_ALLMULTI != 0 {
		k.addAllMulti(l.lower, 1)
	}
	if l.flags&unix.IFF_PROMISC != 0 {
		k.addPromisc(l.lower, 1, true)
	}
	if l.lower.carrier {
		k.setCarrier(l, true)
	}
	return nil
}

func (k *Kernel) closeVLAN(l *link) {
	if l.flags&unix.IFF_ALLMULTI != 0 {
		k.addAllMulti(l.lower, -1)
	}
	if l.flags&unix.IFF_PROMISC != 0 {
		k.addPromisc(l.lower, -1, true)
	}
	k.unicast(l.lower, l, false)
	k.setCarrier(l, false)
}

// vlanEvent is vlan_device_event for one VLAN u on l.
func (k *Kernel) vlanEvent(ev event, l, u *link) {
	loose := u.VLAN.Flags&vlanLooseBinding != 0
	switch ev {
	case evChange:
		k.transferState(l, u)
	case evDown:
		if !loose {
			k.closeAnnounced(u)
		}
		k.transferState(l, u)
	case evUp:
		if u.up() {
			return
		}
		if !loose {
			k.changeFlags(u, u.userFlags()|unix.IFF_UP)
		}
		k.transferState(l, u)
	case evChangeMTU:
		if u.MTU > l.MTU {
			k.setMTU(u, l.MTU)
		}
	case evChangeAddr:
		if u.addrStolen && !u.addrSet {
			u.Addr = l.Addr
			k.event(evChangeAddr, u)
		} else if u.up() {
			k.unicast(l, u, u.Addr != l.Addr)
		}
	}
}
