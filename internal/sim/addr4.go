package sim

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// inet4 is struct in_device: the IPv4 side of a link.
type inet4 struct {
	addrs []*ifa4
	dead  bool
}

// ifa4 is struct in_ifaddr. The deadlines are on the simulated clock.
type ifa4 struct {
	rtnl.Addr
	link      *link
	set       time.Duration // when the lifetimes were given
	addr      uint32        // ifa_address: the far end, or Local
	local     uint32
	broadcast uint32
}

func (a *ifa4) mask() uint32    { return mask4(a.PrefixLen) }
func (a *ifa4) secondary() bool { return a.Flags&unix.IFA_F_SECONDARY != 0 }
func (a *ifa4) network() uint32 { return a.addr & a.mask() }

// matches is inet_ifa_match with an equal mask.
func (a *ifa4) matches(o *ifa4) bool {
	return a.PrefixLen == o.PrefixLen && (a.addr^o.addr)&o.mask() == 0
}

func mask4(bits uint8) uint32 {
	if bits == 0 {
		return 0
	}
	return ^uint32(0) << (32 - bits)
}

func num4(a netip.Addr) uint32 {
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func addr4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

func (k *Kernel) newInet4(l *link) *inet4 { return &inet4{} }

func (k *Kernel) newAddr4(h rtnl.Header, a *rtnl.Addr) *rtnl.Error {
	l := k.links[a.Index]
	switch {
	case a.PrefixLen > 32:
		return fail(unix.EINVAL, "ipv4: Invalid prefix length")
	case !a.Local.IsValid():
		return fail(unix.EINVAL, "ipv4: Local address is not supplied")
	case a.Valid == 0 || a.Preferred > a.Valid:
		return fail(unix.EINVAL, "ipv4: address lifetime invalid")
	case l == nil:
		return fail(unix.ENODEV, "ipv4: Device not found")
	case l.in4 == nil:
		return fail(unix.ENOBUFS, "")
	}
	k.conf[v4].conf[l.Name].own = true
	n := &ifa4{Addr: *a, link: l, local: num4(a.Local), broadcast: num4(a.Broadcast)}
	n.addr = n.local
	if a.Peer.IsValid() {
		n.addr = num4(a.Peer)
	}
	if n.Label == "" {
		n.Label = l.Name
	}
	old := slices.IndexFunc(l.in4.addrs, func(o *ifa4) bool { return o.matches(n) && o.local == n.local })
	if old < 0 {
		k.setLifetime4(n, a.Valid, a.Preferred)
		return k.insertAddr4(n)
	}
	if h.Flags&unix.NLM_F_EXCL != 0 || h.Flags&unix.NLM_F_REPLACE == 0 {
		return fail(unix.EEXIST, "ipv4: Address already assigned")
	}
	o := l.in4.addrs[old]
	if o.Priority != n.Priority {
		k.changePrefixMetric(o, n.Priority)
		o.Priority = n.Priority
	}
	o.Protocol = n.Protocol
	k.setLifetime4(o, a.Valid, a.Preferred)
	k.addrMessage4(unix.RTM_NEWADDR, o)
	return nil
}

func (k *Kernel) setLifetime4(a *ifa4, valid, preferred uint32) {
	a.Flags &^= unix.IFA_F_PERMANENT | unix.IFA_F_DEPRECATED
	a.Valid, a.Preferred, a.set = valid, preferred, k.now
	if valid == rtnl.LifetimeForever {
		a.Flags |= unix.IFA_F_PERMANENT
	}
	if preferred == 0 {
		a.Flags |= unix.IFA_F_DEPRECATED
	}
}

// insertAddr4 is __inet_insert_ifa.
func (k *Kernel) insertAddr4(n *ifa4) *rtnl.Error {
	const ipv6Only = unix.IFA_F_NODAD | unix.IFA_F_OPTIMISTIC | unix.IFA_F_DADFAILED | unix.IFA_F_HOMEADDRESS |
		unix.IFA_F_TENTATIVE | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_STABLE_PRIVACY
	if n.local == 0 {
		return nil
	}
	n.Flags &^= unix.IFA_F_SECONDARY | ipv6Only
	in := n.link.in4
	at := 0
	for i, o := range in.addrs {
		if !o.secondary() && n.Scope <= o.Scope {
			at = i + 1
		}
		if !o.matches(n) {
			continue
		}
		if o.local == n.local {
			return fail(unix.EEXIST, "ipv4: Address already assigned")
		}
		if o.Scope != n.Scope {
			return fail(unix.EINVAL, "ipv4: Invalid scope value")
		}
		n.Flags |= unix.IFA_F_SECONDARY
	}
	if n.secondary() {
		at = len(in.addrs)
	}
	in.addrs = slices.Insert(in.addrs, at, n)
	k.addrMessage4(unix.RTM_NEWADDR, n)
	k.addr4Up(n)
	return nil
}

func (k *Kernel) addr4Up(a *ifa4) {
	k.addPrefixRoutes(a)
	k.syncUp4(a.link, unix.RTNH_F_DEAD)
}

func (k *Kernel) addr4Down(a *ifa4) {
	k.delPrefixRoutes(a, nil)
	if len(a.link.in4.addrs) == 0 {
		k.disableIPv4(a.link, evDown, true)
	}
}

func (k *Kernel) addrMessage4(typ uint16, a *ifa4) {
	if k.queue.joined(unix.RTNLGRP_IPV4_IFADDR) {
		i := k.addrInfo4(a)
		k.notifyAddr(typ, &i)
	}
}

// addrInfo4 is the address as the kernel shows it now.
func (k *Kernel) addrInfo4(a *ifa4) rtnl.Addr {
	i := a.Addr
	i.Index = a.link.Index
	i.Valid, i.Preferred = k.remaining(i.Valid, a.set), k.remaining(i.Preferred, a.set)
	if i.Flags&unix.IFA_F_PERMANENT != 0 {
		i.Valid, i.Preferred = rtnl.LifetimeForever, rtnl.LifetimeForever
	}
	return i
}

// remaining is what is left of a lifetime that was given at set.
func (k *Kernel) remaining(life uint32, set time.Duration) uint32 {
	if life == rtnl.LifetimeForever {
		return life
	}
	past := uint64((k.now - set) / time.Second)
	if past >= uint64(life) {
		return 0
	}
	return life - uint32(past)
}

func (k *Kernel) delAddr4(a *rtnl.Addr) *rtnl.Error {
	l := k.links[a.Index]
	if l == nil || l.in4 == nil {
		return fail(unix.ENODEV, "ipv4: Device not found")
	}
	address := num4(a.Local)
	if a.Peer.IsValid() {
		address = num4(a.Peer)
	}
	for _, o := range l.in4.addrs {
		if a.Local.IsValid() && o.local != num4(a.Local) || a.Label != "" && o.Label != a.Label {
			continue
		}
		if a.Local.IsValid() && (o.PrefixLen != a.PrefixLen || (address^o.addr)&o.mask() != 0) {
			continue
		}
		k.removeAddr4(o)
		return nil
	}
	return fail(unix.EADDRNOTAVAIL, "ipv4: Address not found")
}

// removeAddr4 is __inet_del_ifa: the secondaries of a primary go with it, or
// one of them is promoted.
func (k *Kernel) removeAddr4(d *ifa4) {
	in := d.link.in4
	var promote *ifa4
	if !in.dead && !d.secondary() {
		promoteAny := k.confAny(v4, d.link.Name, confPromoteSecondaries)
		for _, o := range k.following(d) {
			if !o.secondary() || !d.matches(o) {
				continue
			}
			if promoteAny {
				promote = o
				break
			}
			k.unlinkAddr4(o)
			k.addrMessage4(unix.RTM_DELADDR, o)
			k.addr4Down(o)
		}
		if promote != nil {
			for _, o := range append([]*ifa4{promote}, k.following(promote)...) {
				if d.matches(o) {
					k.delPrefixRoutes(o, d)
				}
			}
		}
	}
	rest := []*ifa4(nil)
	if promote != nil {
		rest = k.following(promote)
		k.reorderPromoted(d, promote)
	}
	k.unlinkAddr4(d)
	k.addrMessage4(unix.RTM_DELADDR, d)
	k.addr4Down(d)
	if promote == nil {
		return
	}
	promote.Flags &^= unix.IFA_F_SECONDARY
	k.addrMessage4(unix.RTM_NEWADDR, promote)
	k.addr4Up(promote)
	for _, o := range rest {
		if d.matches(o) {
			k.addPrefixRoutes(o)
		}
	}
}

// following are the addresses behind a on its link.
func (k *Kernel) following(a *ifa4) []*ifa4 {
	as := a.link.in4.addrs
	return slices.Clone(as[slices.Index(as, a)+1:])
}

func (k *Kernel) unlinkAddr4(a *ifa4) {
	in := a.link.in4
	in.addrs = slices.DeleteFunc(in.addrs, func(o *ifa4) bool { return o == a })
}

// reorderPromoted moves the new primary behind the last primary of its scope.
func (k *Kernel) reorderPromoted(d, p *ifa4) {
	in := d.link.in4
	from := slices.Index(in.addrs, d)
	to, between := from, false
	for i := from + 1; i < len(in.addrs); i++ {
		o := in.addrs[i]
		if o == p {
			break
		}
		between = true
		if !o.secondary() && d.Scope <= o.Scope {
			to = i
		}
	}
	if !between {
		return
	}
	k.unlinkAddr4(p)
	in.addrs = slices.Insert(in.addrs, to+1, p)
}

// inetEvent is inetdev_event.
func (k *Kernel) inetEvent(ev event, l *link) {
	switch ev {
	case evUp:
		if l.in4 != nil && l.isLoop() && l.MTU >= minMTU {
			a := &ifa4{link: l, local: 0x7f000001, addr: 0x7f000001, Addr: rtnl.Addr{Family: unix.AF_INET, PrefixLen: 8,
				Scope: unix.RT_SCOPE_HOST, Local: addr4(0x7f000001), Label: l.Name}}
			k.setLifetime4(a, rtnl.LifetimeForever, rtnl.LifetimeForever)
			k.conf[v4].conf[l.Name].own = true
			k.insertAddr4(a)
		}
	case evChangeMTU:
		switch {
		case l.in4 == nil && l.MTU >= minMTU:
			l.in4 = k.newInet4(l)
			k.addConf(v4, l.Name)
		case l.in4 != nil && l.MTU < minMTU:
			k.destroyInet4(l)
		}
	case evUnregister:
		k.destroyInet4(l)
	case evChangeName:
		k.relabel(l)
		if l.in4 != nil {
			k.netconfMoved(v4, l)
		}
	}
}

func (k *Kernel) destroyInet4(l *link) {
	if l.in4 == nil {
		return
	}
	l.in4.dead = true
	for len(l.in4.addrs) > 0 {
		k.removeAddr4(l.in4.addrs[0])
	}
	l.in4 = nil
	k.dropConf(v4, l)
}

// relabel is inetdev_changename: the first label becomes the new name, the
// others keep what follows their colon or get a number.
func (k *Kernel) relabel(l *link) {
	if l.in4 == nil {
		return
	}
	for i, a := range l.in4.addrs {
		old := a.Label
		a.Label = l.Name
		if i > 0 {
			suffix := ":" + strconv.Itoa(i+1)
			if at := strings.IndexByte(old, ':'); at >= 0 {
				suffix = old[at:]
			}
			if len(suffix)+len(l.Name) < unix.IFNAMSIZ {
				a.Label += suffix
			} else {
				a.Label = a.Label[:min(len(a.Label), unix.IFNAMSIZ-len(suffix)-1)] + suffix
			}
		}
		k.addrMessage4(unix.RTM_NEWADDR, a)
	}
}
