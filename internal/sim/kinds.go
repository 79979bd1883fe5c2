package sim

import (
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// MACVLAN_MODE_* (linux/if_link.h).
const (
	macvlanPrivate  = 1
	macvlanVEPA     = 2
	macvlanBridge   = 4
	macvlanPassthru = 8
	macvlanSource   = 16
)

func (k *Kernel) createKind(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	switch l.Kind {
	case kindBridge:
		return k.createBridge(l, r)
	case kindVeth:
		return k.createVeth(l, r)
	case kindMACVLAN:
		return k.createMACVLAN(l, r)
	case kindVLAN:
		return k.createVLAN(l, r)
	}
	return fail(unix.EOPNOTSUPP, "Unknown device type")
}

func (k *Kernel) changeKind(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	switch l.Kind {
	case kindBridge:
		return k.setBridge(l, r)
	case kindMACVLAN:
		return k.setMACVLAN(l, r)
	case kindVLAN:
		return k.setVLAN(l, r)
	}
	return fail(unix.EOPNOTSUPP, "")
}

func (k *Kernel) randomAddr(l *link) {
	if !l.addrSet {
		l.Addr = k.randomMAC()
	}
}

func (k *Kernel) createVeth(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	peer := k.newEther(kindVeth + "%d")
	peer.Kind = kindVeth
	if p := r.Peer; p != nil {
		if p.Name != "" {
			peer.Name = p.Name
		}
		if l.Index != 0 {
			peer.Index = p.Index
		}
		if p.Addr.Len > 0 {
			if !validEther(p.Addr) {
				return fail(unix.EADDRNOTAVAIL, "")
			}
			peer.Addr, peer.addrSet = p.Addr, true
		}
	}
	if l.addrSet && !validEther(l.Addr) {
		return fail(unix.EADDRNOTAVAIL, "")
	}
	k.randomAddr(peer)
	if e := k.registerNamed(peer); e != nil {
		return e
	}
	k.setCarrier(peer, false)
	if e := k.configure(peer, nil); e != nil {
		return e
	}
	k.randomAddr(l)
	if e := k.registerNamed(l); e != nil {
		k.unregister([]*link{peer})
		return e
	}
	k.setCarrier(l, false)
	l.peer, peer.peer = peer, l
	return nil
}

func (k *Kernel) createMACVLAN(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	if l.addrSet && !validEther(l.Addr) {
		return fail(unix.EADDRNOTAVAIL, "")
	}
	mode := uint32(macvlanVEPA)
	if r.Set&rtnl.MACVLANMode != 0 {
		mode = r.MACVLAN.Mode
		switch mode {
		case macvlanPrivate, macvlanVEPA, macvlanBridge, macvlanPassthru, macvlanSource:
		default:
			return fail(unix.EINVAL, "")
		}
	}
	if r.Set&rtnl.LinkParent == 0 {
		return fail(unix.EINVAL, "")
	}
	lower := k.links[r.Parent]
	if lower == nil {
		return fail(unix.ENODEV, "")
	}
	if lower.Kind == kindMACVLAN {
		lower = lower.lower
	}
	if r.Set&rtnl.LinkMTU == 0 {
		l.MTU = lower.MTU
	} else if l.MTU > lower.MTU {
		return fail(unix.EINVAL, "")
	}
	l.maxMTU = lower.maxMTU
	k.randomAddr(l)
	others := lower.macvlans()
	if len(others) == 0 {
		if lower.isLoop() {
			return fail(unix.EINVAL, "")
		}
		if lower.master != nil {
			return fail(unix.EBUSY, "")
		}
	}
	passthru := len(others) > 0 && others[0].MACVLAN.Mode == macvlanPassthru
	if passthru || (mode == macvlanPassthru && len(others) > 0) {
		return fail(unix.EINVAL, "")
	}
	if mode == macvlanPassthru {
		l.Addr = lower.Addr
	}
	l.MACVLAN.Mode = mode
	if e := k.registerNamed(l); e != nil {
		return e
	}
	l.lower = lower
	lower.uppers = append(lower.uppers, l)
	k.event(evChangeUpper, lower)
	k.transferState(lower, l)
	k.fire(l)
	return nil
}

func (l *link) macvlans() []*link {
	var ms []*link
	for _, u := range l.uppers {
		if u.Kind == kindMACVLAN {
			ms = append(ms, u)
		}
	}
	return ms
}

func (k *Kernel) setMACVLAN(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	mode := r.MACVLAN.Mode
	switch mode {
	case macvlanPrivate, macvlanVEPA, macvlanBridge, macvlanPassthru, macvlanSource:
	default:
		return fail(unix.EINVAL, "")
	}
	if (mode == macvlanPassthru) != (l.MACVLAN.Mode == macvlanPassthru) {
		return fail(unix.EINVAL, "")
	}
	l.MACVLAN.Mode = mode
	return nil
}

// macvlanBusy is macvlan_addr_busy.
func macvlanBusy(lower *link, a rtnl.HWAddr, self *link) bool {
	if lower.Addr == a {
		return true
	}
	for _, m := range lower.macvlans() {
		if m != self && m.up() && m.Addr == a {
			return true
		}
	}
	return false
}

// openKind is ndo_open.
func (k *Kernel) openKind(l *link) *rtnl.Error {
	switch l.Kind {
	case kindVeth:
		if l.peer == nil {
			return fail(unix.ENOTCONN, "")
		}
		if l.peer.up() {
			k.setCarrier(l, true)
			k.setCarrier(l.peer, true)
		}
	case kindMACVLAN:
		if l.MACVLAN.Mode == macvlanPassthru {
			k.addPromisc(l.lower, 1, true)
			break
		}
		if macvlanBusy(l.lower, l.Addr, l) {
			return fail(unix.EADDRINUSE, "")
		}
		k.unicast(l.lower, l, true)
		if l.flags&unix.IFF_ALLMULTI != 0 {
			k.addAllMulti(l.lower, 1)
		}
		if l.flags&unix.IFF_PROMISC != 0 {
			k.addPromisc(l.lower, 1, true)
		}
	case kindVLAN:
		return k.openVLAN(l)
	case kindBridge:
		k.openBridge(l)
	}
	return nil
}

// closeKind is ndo_stop.
func (k *Kernel) closeKind(l *link) {
	switch l.Kind {
	case kindVeth:
		k.setCarrier(l, false)
		if l.peer != nil {
			k.setCarrier(l.peer, false)
		}
	case kindMACVLAN:
		if l.MACVLAN.Mode == macvlanPassthru {
			k.addPromisc(l.lower, -1, true)
			break
		}
		if l.flags&unix.IFF_ALLMULTI != 0 {
			k.addAllMulti(l.lower, -1)
		}
		if l.flags&unix.IFF_PROMISC != 0 {
			k.addPromisc(l.lower, -1, true)
		}
		k.unsyncUnicast(l)
		k.unicast(l.lower, l, false)
	case kindVLAN:
		k.closeVLAN(l)
	case kindBridge:
		k.closeBridge(l)
	}
}

// unicast puts the address of upper in the unicast filter of lower.
func (k *Kernel) unicast(lower, upper *link, add bool) {
	lower.unicast = slices.DeleteFunc(lower.unicast, func(o *link) bool { return o == upper })
	if add {
		lower.unicast = append(lower.unicast, upper)
	}
	k.syncUnicast(lower)
}

// syncUnicast is __dev_set_rx_mode: a link without a unicast filter of its own
// becomes promiscuous; a macvlan or VLAN hands its addresses down.
func (k *Kernel) syncUnicast(l *link) {
	if !l.up() || l.isLoop() {
		return
	}
	want := len(l.unicast)+len(l.synced) > 0
	if l.Kind == kindMACVLAN || l.Kind == kindVLAN {
		if want != slices.Contains(l.lower.synced, l) {
			k.setSynced(l, want)
		}
		return
	}
	if want != l.ucPromisc {
		l.ucPromisc = want
		k.addPromisc(l, sign(want), false)
	}
}

// unsyncUnicast is dev_uc_unsync.
func (k *Kernel) unsyncUnicast(l *link) {
	if slices.Contains(l.lower.synced, l) {
		k.setSynced(l, false)
	}
}

func (k *Kernel) setSynced(l *link, on bool) {
	below := l.lower
	below.synced = slices.DeleteFunc(below.synced, func(o *link) bool { return o == l })
	if on {
		below.synced = append(below.synced, l)
	}
	k.syncUnicast(below)
}

// setKindAddr is ndo_set_mac_address.
func (k *Kernel) setKindAddr(l *link, a rtnl.HWAddr) *rtnl.Error {
	switch l.Kind {
	case kindBridge:
		k.setBridgeAddr(l, a)
	case kindMACVLAN:
		if a == l.Addr {
			return nil
		}
		if macvlanBusy(l.lower, a, nil) {
			return fail(unix.EADDRINUSE, "")
		}
	case kindVLAN:
		k.setVLANAddr(l, a)
	}
	l.Addr = a
	return nil
}

// transferState is netif_stacked_transfer_operstate.
func (k *Kernel) transferState(lower, upper *link) {
	k.setCarrier(upper, lower.carrier)
}

// stackedEvent is what macvlan and vlan do when something happens below them.
func (k *Kernel) stackedEvent(ev event, l *link) {
	if len(l.uppers) == 0 {
		return
	}
	if ev == evUnregister {
		ups := append(l.vlans(), l.macvlans()...)
		for _, u := range ups {
			k.detach(u)
		}
		k.unregister(ups)
		return
	}
	k.vlanEvent(ev, l)
	for _, u := range l.macvlans() {
		switch ev {
		case evUp, evDown, evChange:
			k.transferState(l, u)
		case evChangeMTU:
			if u.MTU > l.MTU {
				k.setMTU(u, l.MTU)
			}
		case evChangeAddr:
			if u.MACVLAN.Mode == macvlanPassthru {
				u.Addr = l.Addr
				k.event(evChangeAddr, u)
			}
		}
	}
}

// detach takes a macvlan or vlan off its lower link, as dellink does.
func (k *Kernel) detach(l *link) {
	if l.lower == nil || !slices.Contains(l.lower.uppers, l) {
		return
	}
	l.lower.uppers = slices.DeleteFunc(l.lower.uppers, func(o *link) bool { return o == l })
	k.event(evChangeUpper, l.lower)
}

// uninit is the end of a link: what others keep of it goes.
func (k *Kernel) uninit(l *link) {
	if l.peer != nil {
		l.peer.peer = nil
	}
	if l.lower != nil {
		l.lower.unicast = slices.DeleteFunc(l.lower.unicast, func(o *link) bool { return o == l })
		l.lower.synced = slices.DeleteFunc(l.lower.synced, func(o *link) bool { return o == l })
	}
}
