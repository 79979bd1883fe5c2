package sim

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// addIdev is ipv6_add_dev.
func (k *Kernel) addIdev(l *link) {
	if l.in6 == nil && l.MTU >= minMTU6 {
		l.in6 = &inet6{k: k, link: l, ready: l.running() && l.linkReady()}
		k.addConf(v6, l.Name)
	}
}

// linkReady is addrconf_link_ready.
func (l *link) linkReady() bool { return l.operUp() && l.active }

// addrconfEvent is addrconf_notify.
func (k *Kernel) addrconfEvent(ev event, l *link) {
	switch ev {
	case evChangeMTU:
		k.addrconfMTU(l)
	case evUp, evChange:
		k.addrconfUp(ev, l)
	case evChangeName:
		if l.in6 != nil {
			k.netconfMoved(v6, l)
		}
	case evDown:
		k.ifdown6(l, false)
	case evUnregister:
		k.ifdown6(l, true)
	}
}

func (k *Kernel) addrconfMTU(l *link) {
	if l.MTU < minMTU6 {
		k.ifdown6(l, !l.isLoop())
		return
	}
	if l.in6 != nil {
		k.setConf(v6, l.Name, confMTU, int64(l.MTU))
		return
	}
	k.addIdev(l)
	if l.in6.ready && k.confInt(v6, l.Name, confDisableIPv6) == 0 {
		k.start6(l, true)
	}
}

func (k *Kernel) addrconfUp(ev event, l *link) {
	in := l.in6
	if in != nil && k.confInt(v6, l.Name, confDisableIPv6) != 0 {
		return
	}
	pending := false
	if ev == evUp {
		k.permanentAddrs(l)
		if !l.linkReady() {
			return
		}
		k.addIdev(l)
		if in = l.in6; in != nil {
			in.ready = true
			pending = true
		}
	} else {
		if !l.linkReady() {
			k.syncDown6(l, ev)
			return
		}
		if in != nil {
			if in.ready {
				k.syncUp6(l, unix.RTNH_F_LINKDOWN)
				return
			}
			in.ready = true
		}
		pending = true
	}
	k.start6(l, pending)
}

// start6 is the common end of addrconf_notify for a link that is ready:
// pending is set if duplicate address detection has waited for it.
func (k *Kernel) start6(l *link, pending bool) {
	k.autoAddrs(l)
	if l.in6 == nil {
		return
	}
	if pending {
		k.dadRun(l, false)
	}
	k.syncUp6(l, unix.RTNH_F_DEAD)
	if l.MTU >= minMTU6 {
		k.setConf(v6, l.Name, confMTU, int64(l.MTU))
	} else {
		k.ifdown6(l, !l.isLoop())
	}
}

// autoAddrs is addrconf_init_auto_addrs.
func (k *Kernel) autoAddrs(l *link) {
	if l.in6 == nil {
		return
	}
	if l.isLoop() {
		n := &ifa6{link: l, Addr: rtnl.Addr{Family: unix.AF_INET6, PrefixLen: 128, Scope: unix.RT_SCOPE_HOST,
			Protocol: protoKernelLo, Flags: unix.IFA_F_PERMANENT, Local: netip.IPv6Loopback()}}
		k.setLifetime6(n, rtnl.LifetimeForever, rtnl.LifetimeForever)
		if k.insertAddr6(n) == nil {
			n.Flags &^= unix.IFA_F_TENTATIVE
			n.state = postDAD
			k.announceNew6(n)
		}
		return
	}
	if k.confInt(v6, l.Name, confDisableIPv6) != 0 {
		return
	}
	k.addMulticastRoute(l)
	k.generate(l)
}

// generate is addrconf_addr_gen: the link-local address.
func (k *Kernel) generate(l *link) {
	var b [16]byte
	b[0], b[1] = 0xfe, 0x80
	switch l.in6.genMode() {
	case genEUI64:
		m := l.Addr.B
		copy(b[8:], m[:3])
		b[11], b[12] = 0xff, 0xfe
		copy(b[13:], m[3:6])
		b[8] ^= 2
	case genRandom, genStable:
		m := k.randomMAC()
		copy(b[8:], m.B[:6])
		b[14], b[15] = 0x51, 0x6d
	default:
		return
	}
	n := &ifa6{link: l, Addr: rtnl.Addr{Family: unix.AF_INET6, PrefixLen: 64, Scope: unix.RT_SCOPE_LINK, Protocol: protoKernelLL,
		Local: netip.AddrFrom16(b)}}
	if l.in6.genMode() != genEUI64 {
		n.Flags |= unix.IFA_F_STABLE_PRIVACY
	}
	k.setLifetime6(n, rtnl.LifetimeForever, rtnl.LifetimeForever)
	if k.insertAddr6(n) != nil {
		return
	}
	k.addPrefixRoute6(n, linkLocal, 0, 0)
	k.dadStart(n)
}

// permanentAddrs is addrconf_permanent_addr: routes of addresses that were
// given while the link was down.
func (k *Kernel) permanentAddrs(l *link) {
	if l.in6 == nil {
		return
	}
	for _, a := range slices.Clone(l.in6.addrs) {
		if !a.has(unix.IFA_F_PERMANENT) {
			continue
		}
		if a.rt == nil || a.rt.table == nil {
			a.rt = k.hostRoute(l, a.Local, unix.RTN_LOCAL)
		}
		if !a.has(unix.IFA_F_NOPREFIXROUTE) {
			k.addPrefixRoute6(a, a.prefix(), a.Priority, 0)
		}
		if a.state == preDAD {
			k.dadStart(a)
		}
	}
}

// ifdown6 is addrconf_ifdown.
func (k *Kernel) ifdown6(l *link, unregister bool) {
	ev := evDown
	if unregister {
		ev = evUnregister
	}
	k.syncDown6(l, ev)
	k.neighDown(l, unix.AF_INET6, false)
	in := l.in6
	if in == nil {
		return
	}
	keepAny := false
	if unregister {
		in.dead = true
	} else if k.confInt(v6, l.Name, confDisableIPv6) == 0 {
		keep := k.confInt(v6, "all", confKeepAddr)
		if keep == 0 {
			keep = k.confInt(v6, l.Name, confKeepAddr)
		}
		keepAny = keep > 0
	}
	if !unregister {
		in.ready = false
	}
	for _, a := range slices.Clone(in.addrs) {
		a.queued, a.kicked = false, false
		state, rt := a.state, (*route6)(nil)
		keep := keepAny && a.has(unix.IFA_F_PERMANENT) && a.Scope != unix.RT_SCOPE_LINK && a.Scope != unix.RT_SCOPE_HOST
		if keep {
			state, a.state = deadAddr, preDAD
			if !a.has(unix.IFA_F_NODAD) {
				a.Flags |= unix.IFA_F_TENTATIVE
			}
			rt, a.rt = a.rt, nil
		} else {
			a.state = deadAddr
		}
		if rt != nil && rt.table != nil {
			k.removeRoute6(rt, true)
		}
		if state != deadAddr {
			k.announceDel6(a)
		} else if k.confInt(v6, l.Name, confForwarding) != 0 {
			k.leaveAnycast(a)
		}
		if !keep {
			in.addrs = slices.DeleteFunc(in.addrs, func(x *ifa6) bool { return x == a })
		}
	}
	if unregister {
		l.in6 = nil
		k.dropConf(v6, l)
	}
}

// dadStart is addrconf_dad_start: the rest happens in a work queue.
func (k *Kernel) dadStart(a *ifa6) {
	if a.state == deadAddr {
		return
	}
	a.state = preDAD
	a.kicked = false
	if !a.queued {
		a.queued = true
		k.dad = append(k.dad, a)
	}
}

// dadWork is addrconf_dad_work at its beginning (addrconf_dad_begin).
func (k *Kernel) dadWork(a *ifa6) {
	if !a.queued || a.state != preDAD {
		return
	}
	a.queued = false
	a.state = inDAD
	l := a.link
	off := k.confInt(v6, "all", confAcceptDAD) < 1 && k.confInt(v6, l.Name, confAcceptDAD) < 1
	if l.flags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) != 0 || off || !a.has(unix.IFA_F_TENTATIVE) || a.has(unix.IFA_F_NODAD) {
		k.dadDone(a)
		return
	}
	if l.in6.ready {
		k.dadKick(a)
	}
}

func (k *Kernel) dadDone(a *ifa6) {
	a.state, a.kicked = postDAD, false
	a.Flags &^= unix.IFA_F_TENTATIVE | unix.IFA_F_OPTIMISTIC | unix.IFA_F_DADFAILED
	k.announceNew6(a)
}

// dadKick is addrconf_dad_kick. The random delay before the first probe is
// left out.
func (k *Kernel) dadKick(a *ifa6) {
	a.kicked = true
	a.probes = k.confInt(v6, a.link.Name, confDADTransmits)
	wait := max(k.neighConfInt(v6, a.link.Name, confRetransMS), 10)
	a.dadAt = k.now + time.Duration(a.probes*wait)*time.Millisecond
}

// dadRun is addrconf_dad_run.
func (k *Kernel) dadRun(l *link, restart bool) {
	if l.in6 == nil {
		return
	}
	for _, a := range l.in6.addrs {
		if a.has(unix.IFA_F_TENTATIVE) && a.state == inDAD || restart {
			if restart {
				a.state = preDAD
			}
			k.dadKick(a)
		}
	}
}

// checkGenMode is inet6_validate_link_af.
func (k *Kernel) checkGenMode(l *link, mode uint8) *rtnl.Error {
	if l.in6 == nil {
		return fail(unix.EAFNOSUPPORT, "")
	}
	if mode > genRandom {
		return fail(unix.EINVAL, "")
	}
	if mode == genStable {
		if _, known := k.conf[v6].secret[l.Name]; !known {
			return fail(unix.EINVAL, "")
		}
	}
	return nil
}

// joinAnycast and leaveAnycast keep the subnet-router anycast address of a
// forwarding link.
func (k *Kernel) joinAnycast(a *ifa6) {
	p := a.prefix()
	if a.PrefixLen >= 127 || p.Addr() == any6 {
		return
	}
	in := a.link.in6
	for i := range in.anycast {
		if in.anycast[i].addr == p.Addr() {
			in.anycast[i].users++
			return
		}
	}
	rt := k.hostRoute(a.link, p.Addr(), unix.RTN_ANYCAST)
	in.anycast = append(in.anycast, anycast{p.Addr(), 1, rt})
	k.insertRoute6(0, rt, true)
}

func (k *Kernel) leaveAnycast(a *ifa6) {
	p := a.prefix()
	if a.PrefixLen >= 127 || p.Addr() == any6 {
		return
	}
	in := a.link.in6
	for i := range in.anycast {
		c := &in.anycast[i]
		if c.addr != p.Addr() {
			continue
		}
		if c.users--; c.users == 0 {
			if c.rt.table != nil {
				k.removeRoute6(c.rt, true)
			}
			in.anycast = slices.Delete(in.anycast, i, i+1)
		}
		return
	}
}

// nextTimer is the earliest of the timers: probes and lifetimes.
func (k *Kernel) nextTimer() (at time.Duration, run func()) {
	consider := func(t time.Duration, f func()) {
		if run == nil || t < at {
			at, run = t, f
		}
	}
	life := func(flags, preferred, valid uint32, set time.Duration, deprecate, expire func()) {
		if flags&unix.IFA_F_PERMANENT == 0 {
			consider(set+time.Duration(valid)*time.Second, expire)
		}
		if flags&unix.IFA_F_DEPRECATED == 0 && preferred != rtnl.LifetimeForever {
			consider(set+time.Duration(preferred)*time.Second, deprecate)
		}
	}
	for _, l := range k.order {
		if l.in4 != nil {
			for _, a := range l.in4.addrs {
				life(a.Flags, a.Preferred, a.Valid, a.set, func() {
					a.Flags |= unix.IFA_F_DEPRECATED
					k.addrMessage4(unix.RTM_NEWADDR, a)
				}, func() { k.removeAddr4(a) })
			}
		}
		if l.in6 == nil {
			continue
		}
		for _, a := range l.in6.addrs {
			if a.kicked {
				consider(a.dadAt, func() { k.dadDone(a) })
			}
			life(a.Flags, a.Preferred, a.Valid, a.set, func() {
				a.Flags |= unix.IFA_F_DEPRECATED
				k.addrMessage6(unix.RTM_NEWADDR, a)
			}, func() { k.removeAddr6(a) })
		}
	}
	k.routeTimers(consider)
	return at, run
}
